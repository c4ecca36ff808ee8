package purge_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache/purge"
)

func open(t testing.TB, dir string) *purge.Book {
	t.Helper()
	b, err := purge.Open(purge.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func add(t testing.TB, b *purge.Book, o purge.Order) purge.Order {
	t.Helper()
	o, err := b.Add(o)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestEachKindHitsWhatItNames(t *testing.T) {
	subject := purge.Subject{Site: "web", Host: "www.example.org", Path: "/news/today.html", URL: "/news/today.html?a=1", Tags: []string{"news", "front"}}
	for _, c := range []struct {
		order purge.Order
		hit   bool
	}{
		{purge.Order{Kind: purge.All}, true},
		{purge.Order{Kind: purge.All, Site: "web"}, true},
		{purge.Order{Kind: purge.All, Site: "shop"}, false},
		{purge.Order{Kind: purge.Host, Host: "WWW.example.org"}, true},
		{purge.Order{Kind: purge.Host, Host: "example.org"}, false},
		{purge.Order{Kind: purge.Tag, Value: "News"}, true},
		{purge.Order{Kind: purge.Tag, Value: "new"}, false},
		{purge.Order{Kind: purge.Tag, Value: "news", Site: "shop"}, false},
		{purge.Order{Kind: purge.Prefix, Host: "www.example.org", Value: "/news/"}, true},
		{purge.Order{Kind: purge.Prefix, Host: "www.example.org", Value: "/news/today.html"}, true},
		{purge.Order{Kind: purge.Prefix, Host: "www.example.org", Value: "/news/today.html/"}, false},
		{purge.Order{Kind: purge.Prefix, Host: "www.example.org", Value: "/News/"}, false},
		{purge.Order{Kind: purge.URL, Host: "www.example.org", Value: "/news/today.html?a=1"}, true},
		{purge.Order{Kind: purge.URL, Host: "www.example.org", Value: "/news/today.html"}, false},
	} {
		b := open(t, "")
		o := add(t, b, c.order)
		if v := b.Judge(&subject); v.Dead != c.hit || c.hit && v.ID != o.ID {
			t.Errorf("%s: %+v", &o, v)
		}
		later := subject
		later.Born = b.Current()
		if v := b.Judge(&later); v != (purge.Verdict{}) {
			t.Errorf("%s hits what was fetched after it: %+v", &o, v)
		}
	}
}

func TestWhatAnOrderLacksIsRefused(t *testing.T) {
	for _, o := range []purge.Order{{Kind: purge.Tag}, {Kind: purge.Host}, {Kind: purge.URL, Value: "/"}, {Kind: purge.Prefix, Host: "a"}, {Kind: 9},
		{Kind: purge.Tag, Value: strings.Repeat("x", 5000)}} {
		if _, err := open(t, "").Add(o); err == nil {
			t.Errorf("%s is accepted", &o)
		}
	}
}

func TestASoftPurgeCanBeUndone(t *testing.T) {
	b := open(t, t.TempDir())
	s := &purge.Subject{Host: "a", Path: "/", URL: "/"}
	soft := add(t, b, purge.Order{Kind: purge.Host, Host: "a", Soft: true})
	if v := b.Judge(s); !v.Soft || v.Dead || v.ID != soft.ID || !v.Time.Equal(soft.Time) {
		t.Fatalf("%+v", v)
	}
	before := b.Version()
	if _, err := b.Undo(soft.ID); err != nil {
		t.Fatal(err)
	}
	if v := b.Judge(s); v != (purge.Verdict{}) || b.Version() == before {
		t.Errorf("%+v", v)
	}
	if _, err := b.Undo(soft.ID); err == nil {
		t.Error("undone twice")
	}
	hard := add(t, b, purge.Order{Kind: purge.All})
	if _, err := b.Undo(hard.ID); err == nil {
		t.Error("a hard purge is undone")
	}
	if _, err := b.Undo(99); !errors.Is(err, purge.ErrUnknown) {
		t.Errorf("%v", err)
	}
}

func TestUndoEndsWithTheRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, "")
		o := add(t, b, purge.Order{Kind: purge.All, Soft: true})
		time.Sleep(purge.DefaultRetention + time.Second)
		if _, err := b.Undo(o.ID); !errors.Is(err, purge.ErrUnknown) {
			t.Errorf("%v", err)
		}
		if v := b.Judge(&purge.Subject{Host: "a"}); !v.Soft {
			t.Error("and it is not in force any more")
		}
	})
}

// F18: whatever was acknowledged is in force after a crash, wherever the file breaks off.
func TestATornJournalLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	for i := range 3 {
		add(t, b, purge.Order{Kind: purge.Tag, Value: fmt.Sprint("t", i)})
	}
	b.Close()
	path := filepath.Join(dir, "purges.log")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := strings.LastIndexByte(strings.TrimSuffix(string(whole), "\n"), '\n') + 1
	for cut := second; cut < len(whole); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		again := open(t, dir)
		if again.Current() != 2 || !again.Judge(&purge.Subject{Tags: []string{"t1"}}).Dead {
			t.Fatalf("cut at %d: current %d", cut, again.Current())
		}
		if o := add(t, again, purge.Order{Kind: purge.Tag, Value: "new"}); o.ID != 3 {
			t.Fatalf("the next is %d", o.ID)
		}
		again.Close()
	}
}

func TestADamagedLineKillsWhatItMayHaveBeenAbout(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	for i := range 3 {
		add(t, b, purge.Order{Kind: purge.Tag, Value: fmt.Sprint("t", i)})
	}
	b.Close()
	path := filepath.Join(dir, "purges.log")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), `"t1"`, `"tX"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if v := again.Judge(&purge.Subject{Host: "other", Born: 2}); !v.Dead {
		t.Error("what an unreadable order may have hit is served")
	}
	if v := again.Judge(&purge.Subject{Host: "other", Born: 3}); v.Dead {
		t.Error("what was fetched after it is not")
	}
}

// The book agrees with a list of orders that is searched, through undos and restarts.
func TestAgreesWithAList(t *testing.T) {
	hosts, paths, tags := []string{"a", "b"}, []string{"/", "/x", "/x/y", "/z"}, []string{"p", "q", "r"}
	sites := []string{"", "s1", "s2"}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "purge")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		b, err := purge.Open(purge.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { b.Close() }()
		var list []purge.Order
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				b.Close()
				if b, err = purge.Open(purge.Options{Dir: dir}); err != nil {
					t.Fatal(err)
				}
			case 1, 2:
				if len(list) == 0 {
					continue
				}
				o := &list[rapid.IntRange(0, len(list)-1).Draw(t, "which")]
				_, err := b.Undo(o.ID)
				if may := o.Soft && !o.Undone; may != (err == nil) {
					t.Fatalf("undo %s: %v", o, err)
				}
				o.Undone = o.Undone || err == nil
			default:
				o := purge.Order{Kind: purge.Kind(rapid.IntRange(0, 4).Draw(t, "kind")), Site: rapid.SampledFrom(sites).Draw(t, "site"),
					Host: rapid.SampledFrom(hosts).Draw(t, "host"), Soft: rapid.Bool().Draw(t, "soft"), Value: rapid.SampledFrom(paths).Draw(t, "path")}
				if o.Kind == purge.Tag {
					o.Value = rapid.SampledFrom(tags).Draw(t, "tag")
				}
				if o, err = b.Add(o); err != nil {
					t.Fatal(err)
				}
				list = append(list, o)
			}
			s := purge.Subject{Site: rapid.SampledFrom(sites[1:]).Draw(t, "of"), Host: rapid.SampledFrom(hosts).Draw(t, "at"),
				Path: rapid.SampledFrom(paths).Draw(t, "under"), Born: rapid.Uint64Range(0, uint64(len(list))).Draw(t, "born"),
				Tags: rapid.SliceOfDistinct(rapid.SampledFrom(tags), rapid.ID).Draw(t, "tags")}
			s.URL = s.Path
			dead, soft := judge(list, &s)
			if v := b.Judge(&s); v.Dead != dead || v.Soft != (soft && !dead) {
				t.Fatalf("%+v: %+v, want dead %v, soft %v of %v", s, v, dead, soft, list)
			}
		}
	})
}

// judge is what the orders mean, slowly.
func judge(list []purge.Order, s *purge.Subject) (dead, soft bool) {
	for _, o := range list {
		if o.Undone || o.ID <= s.Born || o.Site != "" && o.Site != s.Site {
			continue
		}
		hit := o.Kind == purge.All || o.Kind == purge.Tag && slices.Contains(s.Tags, o.Value)
		if o.Host == s.Host {
			hit = hit || o.Kind == purge.Host || o.Kind == purge.URL && o.Value == s.URL || o.Kind == purge.Prefix && strings.HasPrefix(s.Path, o.Value)
		}
		dead, soft = dead || hit && !o.Soft, soft || hit && o.Soft
	}
	return dead, soft
}

func TestOrdersAndLookupsAtTheSameTime(t *testing.T) {
	b := open(t, t.TempDir())
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 20 {
				s := purge.Subject{Host: fmt.Sprint("h", i), Born: b.Current()}
				o := add(t, b, purge.Order{Kind: purge.Host, Host: s.Host, Soft: n%2 == 0})
				if v := b.Judge(&s); !v.Dead && !v.Soft {
					t.Errorf("%s is not in force", &o)
				}
			}
		})
	}
	wg.Wait()
	if got := len(b.Orders(1000)); got != 80 {
		t.Errorf("%d orders", got)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "purges.log"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := purge.Open(purge.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		before := b.Current()
		if o, err := b.Add(purge.Order{Kind: purge.All}); err != nil || o.ID != before+1 || !b.Judge(&purge.Subject{Born: before}).Dead {
			t.Errorf("%v %+v", err, o)
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	book := open(b, "")
	for i := range 1000 {
		add(b, book, purge.Order{Kind: purge.Prefix, Host: "a", Value: "/" + strings.Repeat("x", i%20)})
		add(b, book, purge.Order{Kind: purge.Tag, Value: fmt.Sprint(i)})
	}
	s := purge.Subject{Site: "web", Host: "a", Path: "/" + strings.Repeat("y", 40), URL: "/y", Tags: []string{"p", "q", "r"}}
	b.ReportAllocs()
	for b.Loop() {
		book.Judge(&s)
	}
}
