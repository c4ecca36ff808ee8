package record_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache/record"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// text is any bytes of a length at which the length before them changes its own, or of none.
func text(t *rapid.T, label string) string {
	n := rapid.SampledFrom([]int{0, 1, 2, 17, 126, 127, 128, 129, 300, 20_000}).Draw(t, label+" length")
	seed := rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(t, label)
	return string(bytes.Repeat(seed, n/len(seed)+1)[:n])
}

// drawFields are known names in whatever case, unknown ones, and no name at all.
func drawFields(t *rapid.T) httpwire.Fields {
	var f httpwire.Fields
	for range rapid.IntRange(0, 12).Draw(t, "fields") {
		var name string
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			name = httpwire.ID(rapid.IntRange(int(httpwire.Accept), int(httpwire.XRequestID)).Draw(t, "id")).String()
		case 1:
			name = rapid.SampledFrom([]string{"cache-control", "ETAG", "vARY", "x-request-id", "X-Request-ID"}).Draw(t, "odd case")
		case 2:
			name = rapid.SampledFrom([]string{"", "X", "X-A", "x-a", strings.Repeat("X-Long", 40)}).Draw(t, "unknown")
		default:
			name = text(t, "name")
		}
		f.AddName(name, text(t, "value"))
	}
	return f
}

func drawVariant(t *rapid.T) rules.Variant {
	names := rapid.SliceOfN(rapid.SampledFrom([]string{"Accept-Encoding", "accept-language", "Origin", "X-A", "X-" + strings.Repeat("long-", 30)}), 0, 5).Draw(t, "vary")
	var request httpwire.Fields
	for _, name := range names {
		if rapid.Bool().Draw(t, "sent") {
			request.AddName(name, text(t, "selecting"))
		}
	}
	return rules.NewVariant(request, fields("Vary: "+strings.Join(names, ", ")))
}

// drawTimes are an epoch and an instant, each with or without a reading of the monotonic clock.
func drawTimes(t *rapid.T) (epoch, received time.Time) {
	epoch = rapid.SampledFrom([]time.Time{time.Now(), time.Now().Round(0), time.Unix(0, 0)}).Draw(t, "epoch")
	received = time.Now().Add(time.Duration(rapid.Int64Range(-1e18, 1e18).Draw(t, "received")))
	if rapid.Bool().Draw(t, "without a monotonic reading") {
		received = received.Round(0)
	}
	return epoch, received
}

func drawDuration(t *rapid.T, label string) time.Duration {
	return time.Duration(rapid.Int64Range(0, int64(rules.MaxDuration)).Draw(t, label))
}

func drawResponse(t *rapid.T) (r *record.Response, epoch time.Time) {
	epoch, received := drawTimes(t)
	r = &record.Response{
		Key: text(t, "key"), Status: rapid.IntRange(100, 999).Draw(t, "status"), Fields: drawFields(t), Born: rapid.Uint64().Draw(t, "born"),
		Aged: rapid.Bool().Draw(t, "aged"), Mark: rapid.Bool().Draw(t, "mark"), Variant: drawVariant(t), Total: rapid.Int64Range(0, 1<<62).Draw(t, "total"),
		Fresh: rules.Freshness{Lifetime: drawDuration(t, "lifetime"), InitialAge: drawDuration(t, "age"), Received: received,
			Source: text(t, "source"), NoCache: rapid.Bool().Draw(t, "no-cache"), Immutable: rapid.Bool().Draw(t, "immutable"),
			Strict: rapid.Bool().Draw(t, "strict"), StaleWhileRevalidate: drawDuration(t, "swr"), StaleIfError: drawDuration(t, "sie")},
	}
	r.URL = rapid.IntRange(0, len(r.Key)).Draw(t, "url")
	for range rapid.IntRange(0, 4).Draw(t, "tags") {
		r.Tags = append(r.Tags, text(t, "tag"))
	}
	for i := range r.Body {
		if rapid.Bool().Draw(t, "body is there") {
			r.Body[i] = []byte(text(t, "body"))
		}
	}
	return r, epoch
}

// Whatever a response is, it is read as it was written: by those who trust the bytes and by those who do not, behind other bytes too.
func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, epoch := drawResponse(t)
		portable := rapid.Bool().Draw(t, "portable")
		b := record.Append(nil, r, epoch, portable)
		v, err := record.Parse(b)
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if d := differ(read(v, epoch), r); d != "" {
			t.Fatal(d)
		}
		if d := differ(read(record.Trusted(b), epoch), r); d != "" {
			t.Fatal("trusted: " + d)
		}
		if got := record.Append([]byte("before"), r, epoch, portable); string(got) != "before"+string(b) {
			t.Fatal("behind other bytes it is another record")
		}
		if v.URL() != r.Key[:r.URL] || v.Varies() != (len(r.Variant) > 0) || v.Received() != int64(r.Fresh.Received.Sub(epoch)) {
			t.Fatalf("%q %v %d", v.URL(), v.Varies(), v.Received())
		}
	})
}

// The age that is told without the freshness is the age, before the response came, while it is fresh, and afterwards.
func TestAgeIsThatOfTheFreshness(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, epoch := drawResponse(t)
		v := record.Trusted(record.Append(nil, r, epoch, false))
		came := time.Duration(v.Received())
		end := came + max(0, r.Fresh.Lifetime-r.Fresh.InitialAge)
		for _, after := range []time.Duration{0, came - 1, came, end - 1, end, end + 1, drawDuration(t, "now")} {
			if d := ages(v, epoch, after); d != "" {
				t.Fatalf("%v after the epoch, %v after it came: %s", after, after-came, d)
			}
		}
	})
}

// The head is what comes before the bodies, and as long as that of a record without any.
func TestHeadIsWithoutBodies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, epoch := drawResponse(t)
		b := record.Append(nil, r, epoch, false)
		head := record.Trusted(b).Head()
		if all := append(slices.Clone(head), bytes.Join(r.Body[:], nil)...); !bytes.Equal(all, b) {
			t.Fatalf("a head of %d bytes and the bodies are not the record of %d", len(head), len(b))
		}
		r.Body = [record.Bodies][]byte{}
		if alone := record.Append(nil, r, epoch, false); len(alone) != len(head) {
			t.Fatalf("without bodies it has %d bytes, its head %d", len(alone), len(head))
		}
	})
}

// A portable record has its names in it; else those that are well known, as they are mostly spelled, take one byte.
func TestPortableRecordsSpellNames(t *testing.T) {
	epoch := time.Unix(0, 0)
	r := &record.Response{Status: 200, Fields: fields("Cache-Control: a", "ETag: b", "etag: c", "X-A: d")}
	for _, test := range []struct {
		portable bool
		names    []string
		absent   []string
	}{
		{true, []string{"Cache-Control", "ETag", "etag", "X-A"}, nil},
		{false, []string{"etag", "X-A"}, []string{"Cache-Control", "ETag"}},
	} {
		b := record.Append(nil, r, epoch, test.portable)
		for _, name := range test.names {
			if !bytes.Contains(b, []byte(name)) {
				t.Errorf("portable %v: no %s", test.portable, name)
			}
		}
		for _, name := range test.absent {
			if bytes.Contains(b, []byte(name)) {
				t.Errorf("portable %v: %s is written out", test.portable, name)
			}
		}
	}
}

// A record that is cut short anywhere, or has a byte too many, is none.
func TestParseRefusesEveryTruncation(t *testing.T) {
	epoch := time.Unix(0, 0)
	for _, portable := range []bool{false, true} {
		b := record.Append(nil, ordinary(epoch), epoch, portable)
		for n := range len(b) {
			if _, err := record.Parse(b[:n]); !errors.Is(err, record.ErrDamaged) {
				t.Fatalf("%d of %d bytes are a record: %v", n, len(b), err)
			}
		}
		if _, err := record.Parse(append(b, 0)); !errors.Is(err, record.ErrDamaged) {
			t.Errorf("with a byte behind it: %v", err)
		}
	}
}

// A head that is cut short anywhere is none even if its length says so, and so is one in which something is left, or a field is of no name.
func TestParseReadsHeadsToTheirEnd(t *testing.T) {
	epoch := time.Unix(0, 0)
	for _, portable := range []bool{false, true} {
		head := record.Trusted(record.Append(nil, ordinary(epoch), epoch, portable)).Head()
		if _, err := record.Parse(mended(head)); err != nil {
			t.Fatalf("the whole head: %v", err)
		}
		for n := range len(head) {
			if _, err := record.Parse(mended(head[:n])); !errors.Is(err, record.ErrDamaged) {
				t.Errorf("portable %v: %d of %d bytes are a head: %v", portable, n, len(head), err)
			}
		}
		if _, err := record.Parse(mended(append(slices.Clone(head), 0))); !errors.Is(err, record.ErrDamaged) {
			t.Errorf("portable %v: with a byte behind it: %v", portable, err)
		}
	}
	b := record.Append(nil, &record.Response{Status: 200, Fields: fields("ETag: a")}, epoch, false)
	for _, id := range []byte{0, 0xfe} {
		b[len(b)-3] = id // before a length and a value, of a byte each
		if _, err := record.Parse(b); !errors.Is(err, record.ErrDamaged) {
			t.Errorf("a name of number %d: %v", id, err)
		}
	}
}

// Whatever bytes of a record are changed: it is refused, or it can be read through.
func TestDamageIsRefusedOrReadable(t *testing.T) {
	epoch := time.Unix(0, 0)
	sound := record.Append(nil, ordinary(epoch), epoch, false)
	refused := 0
	for at := range len(record.Trusted(sound).Head()) {
		for _, mask := range []byte{1, 0x80, 0xff} {
			b := slices.Clone(sound)
			b[at] ^= mask
			if v, err := record.Parse(b); err == nil {
				read(v, epoch)
			} else {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("nothing is checked")
	}
}

// What no writer writes is refused: statuses that are none, negative lengths and times.
func TestParseRefusesImpossibleNumbers(t *testing.T) {
	epoch := time.Unix(0, 0)
	for name, change := range map[string]func(*record.Response){
		"status 99":           func(r *record.Response) { r.Status = 99 },
		"status 1000":         func(r *record.Response) { r.Status = 1000 },
		"a total below 0":     func(r *record.Response) { r.Total = -1 },
		"a URL beyond itself": func(r *record.Response) { r.URL = len(r.Key) + 1 },
		"a lifetime below 0":  func(r *record.Response) { r.Fresh.Lifetime = -1 },
		"an age below 0":      func(r *record.Response) { r.Fresh.InitialAge = -1 },
		"a window below 0":    func(r *record.Response) { r.Fresh.StaleIfError = -1 },
		"a refresh below 0":   func(r *record.Response) { r.Fresh.StaleWhileRevalidate = -1 },
		"an age beyond all":   func(r *record.Response) { r.Fresh.InitialAge = 2*rules.MaxDuration + 1 },
		"an age without end":  func(r *record.Response) { r.Fresh.InitialAge = math.MaxInt64 },
		"received long ago":   func(r *record.Response) { r.Fresh.Received = epoch.Add(-rules.MaxDuration - 1) },
		"received before all": func(r *record.Response) { r.Fresh.Received = epoch.Add(math.MinInt64) },
	} {
		r := ordinary(epoch)
		change(r)
		if _, err := record.Parse(record.Append(nil, r, epoch, true)); !errors.Is(err, record.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The oldest that a record may say it is has an age, which grows: a sum that overflows would be fresh for ever. What came with the largest
// Age there is (RFC 9111 §1.2.2), and took its time to come, is read.
func TestAgesDoNotOverflow(t *testing.T) {
	epoch := time.Unix(0, 0)
	r := ordinary(epoch)
	r.Fresh.InitialAge, r.Fresh.Received = 2*rules.MaxDuration, epoch.Add(-rules.MaxDuration)
	v, err := record.Parse(record.Append(nil, r, epoch, true))
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []time.Time{epoch, time.Now(), epoch.Add(rules.MaxDuration)} {
		if f := v.Fresh(epoch); f.Age(now) < r.Fresh.InitialAge || f.Fresh(now) {
			t.Errorf("at %v: age %v, fresh %v", now, f.Age(now), f.Fresh(now))
		}
	}
	asked := time.Now()
	r.Fresh.Received = asked.Add(time.Minute)
	r.Fresh.InitialAge = rules.Age(fields("Age: 99999999999"), asked, r.Fresh.Received)
	if _, err := record.Parse(record.Append(nil, r, epoch, true)); err != nil || r.Fresh.InitialAge <= rules.MaxDuration {
		t.Errorf("age %v: %v", r.Fresh.InitialAge, err)
	}
}

// A record selects what its variant selects.
func TestMatchIsThatOfTheVariant(t *testing.T) {
	epoch := time.Unix(0, 0)
	v := record.Trusted(record.Append(nil, ordinary(epoch), epoch, false))
	none := &record.Response{Status: 200}
	always := record.Trusted(record.Append(nil, none, epoch, false))
	for _, test := range []struct {
		change string
		want   bool
	}{
		{"X-Other: 1", true}, {"accept-encoding: br, gzip, zstd", true}, {"Accept-Encoding: gzip", false}, {"Accept-Language: de", false},
		{"x-device: desktop", true}, {"X-Device: phone", false}, {"X-Device: ", false},
	} {
		name, value, _ := strings.Cut(test.change, ": ")
		request := slices.DeleteFunc(asks.Clone(), func(f httpwire.Field) bool { return strings.EqualFold(f.Name, name) })
		request.AddName(name, value)
		if got := v.Match(request); got != test.want || got != v.Variant().Match(request) {
			t.Errorf("%s: %v", test.change, got)
		}
		if !always.Match(request) || always.Varies() {
			t.Errorf("%s: a response without a variant is not everybody's", test.change)
		}
	}
	if v.Match(nil) || !v.Varies() {
		t.Error("a request without fields selects it")
	}
}

// Nobody who appends to a body or to the fields writes into the record.
func TestViewsEndWhereTheyEnd(t *testing.T) {
	epoch := time.Unix(0, 0)
	b := record.Append(nil, ordinary(epoch), epoch, false)
	before, v := slices.Clone(b), record.Trusted(b)
	for i := range record.Bodies {
		_ = append(v.Body(i), "more"...)
	}
	if !bytes.Equal(b, before) {
		t.Error("the record has changed")
	}
}

// What is done for each request that hits allocates nothing.
func TestHitsAllocateNothing(t *testing.T) {
	epoch := time.Now()
	v := record.Trusted(record.Append(nil, ordinary(epoch), epoch, false))
	room := make(httpwire.Fields, 0, 16)
	free(t, "Match", func() {
		if !v.Match(asks) {
			t.Fatal("no match")
		}
	})
	free(t, "AppendFields into room", func() { room = v.AppendFields(room[:0]) })
	free(t, "Fresh", func() {
		if f := v.Fresh(epoch); f.Source != "max-age" {
			t.Fatal(f)
		}
	})
	free(t, "Age", func() {
		if _, _, fresh := v.Age(time.Hour + time.Minute); !fresh {
			t.Fatal("not fresh")
		}
	})
	free(t, "the rest", func() {
		if v.Key() == "" || v.URL() == "" || v.Body(0) == nil || v.Body(2) == nil || !v.Varies() {
			t.Fatal("nothing there")
		}
	})
	if len(room) != 10 {
		t.Errorf("%d fields", len(room))
	}
}

func BenchmarkAppendFields(b *testing.B) {
	epoch := time.Now()
	for _, name := range []string{"numbered", "portable"} {
		b.Run(name, func(b *testing.B) {
			v := record.Trusted(record.Append(nil, ordinary(epoch), epoch, name == "portable"))
			room := make(httpwire.Fields, 0, 16)
			b.ReportAllocs()
			for b.Loop() {
				room = v.AppendFields(room[:0])
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	epoch := time.Now()
	v := record.Trusted(record.Append(nil, ordinary(epoch), epoch, false))
	b.ReportAllocs()
	for b.Loop() {
		if !v.Match(asks) {
			b.Fatal("no match")
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	epoch := time.Now()
	r := ordinary(epoch)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = record.Append(dst[:0], r, epoch, false)
	}
}
