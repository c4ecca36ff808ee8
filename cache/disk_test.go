package cache_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/disk"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// twoTiers is a cache with a disk that can be stopped and started again.
type twoTiers struct {
	t      testing.TB
	dir    string
	memory int64
	store  *cache.Store
	tier   *disk.Tier
	book   *purge.Book
	stop   func()
}

func startTiers(t testing.TB, memory int64) *twoTiers {
	t.Helper()
	d := &twoTiers{t: t, dir: t.TempDir(), memory: memory}
	d.start()
	t.Cleanup(func() { d.stop() })
	return d
}

func (d *twoTiers) start() {
	d.t.Helper()
	var err error
	if d.book, err = purge.Open(purge.Options{Dir: filepath.Join(d.dir, "state")}); err != nil {
		d.t.Fatal(err)
	}
	if d.tier, err = disk.Open(disk.Options{Path: filepath.Join(d.dir, "cache"), Size: 1 << 30, Identity: d.book.Identity()}); err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		_ = d.tier.Run(ctx)
	}()
	d.store = cache.New(cache.Options{Memory: d.memory, Node: "eu1", Disk: d.tier, Purges: d.book})
	d.stop = func() {
		d.store.Close()
		cancel()
		<-ran
		_ = d.tier.Close()
		_ = d.book.Close()
		d.stop = func() {}
	}
}

func (d *twoTiers) restart() {
	d.t.Helper()
	d.stop()
	d.start()
}

// settled waits until everything is on the disk.
func (d *twoTiers) settled() {
	d.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		st := d.tier.Stats()
		if st.Complete && st.Queued == 0 {
			return
		}
		if time.Now().After(end) {
			d.t.Fatalf("the disk does not settle: %+v", st)
		}
	}
}

// forgetMemory leaves what is stored to the disk.
func (d *twoTiers) forgetMemory() {
	d.t.Helper()
	d.settled()
	d.store.SetMemory(0)
	for end := time.Now().Add(10 * time.Second); d.store.Stats().Objects > 0; time.Sleep(time.Millisecond) {
		d.store.SetMemory(0)
		if time.Now().After(end) {
			d.t.Fatalf("%+v", d.store.Stats())
		}
	}
	d.store.SetMemory(d.memory)
}

// bodies are of every kind of size: none, small, one that is read where it is, and more than a block.
var bodies = []int{0, 1, 1000, 70_000, 128 << 10, 128<<10 + 1, 700_000}

func bodyOrigin() *originFunc {
	return &originFunc{f: func(_ context.Context, h *httpwire.Head, _ int) (*httpwire.Response, error) {
		var n int
		_, _ = fmt.Sscanf(h.Target, "/%d", &n)
		return &httpwire.Response{Status: 200, Length: int64(n), Body: io.NopCloser(strings.NewReader(string(pattern(n)))),
			Fields: fields("Cache-Control: max-age=600", `ETag: "v1"`, "Content-Type: image/png", "X-Odd-name: kept", "Surrogate-Key: all")}, nil
	}}
}

// TestTheDiskOutlivesTheProcess: what was stored is a hit after a restart, with the same head, bytes and age, whole and in parts.
func TestTheDiskOutlivesTheProcess(t *testing.T) {
	d, o := startTiers(t, 16<<20), bodyOrigin()
	for _, n := range bodies {
		serve(t, d.store, get(fmt.Sprint("/", n)), o)
	}
	d.settled()
	d.restart()
	o.heads = nil
	if x := d.store.Explain(get("/1000")); !x.Stored || x.Outcome != cache.Hit {
		t.Errorf("explained as %+v", x)
	}
	for _, n := range bodies {
		g := serve(t, d.store, get(fmt.Sprint("/", n)), o)
		if g.err != nil || g.short != nil || g.result.Outcome != cache.Hit || g.body != string(pattern(n)) || g.resp.Length != int64(n) {
			t.Errorf("%d: %s, %d bytes, %v, %v", n, g.status(), len(g.body), g.err, g.short)
		}
		if v, _ := g.resp.Fields.Lookup("x-odd-name"); v != "kept" || !g.resp.Fields.Has(httpwire.Age) {
			t.Errorf("%v", g.resp.Fields)
		}
		if n < 10 {
			continue
		}
		g = serve(t, d.store, get(fmt.Sprint("/", n), fmt.Sprintf("Range: bytes=%d-%d", n-5, n+10)), o)
		if g.resp.Status != 206 || g.body != string(pattern(n)[n-5:]) {
			t.Errorf("%d: a range is %d %q", n, g.resp.Status, g.body)
		}
		g = serve(t, d.store, get(fmt.Sprint("/", n), "Range: bytes=1-2,6-7,-1"), o)
		if whole := string(pattern(n)); g.resp.Status == 206 && !strings.Contains(g.body, "\r\n\r\n"+whole[6:8]+"\r\n--") {
			t.Errorf("%d: several ranges are %q", n, g.body)
		}
	}
	if len(o.heads) > 0 {
		t.Errorf("the origin was asked %d times", len(o.heads))
	}
}

// TestEvictedFromMemoryIsOnTheDisk: the two tiers behave as one.
func TestEvictedFromMemoryIsOnTheDisk(t *testing.T) {
	d, o := startTiers(t, 4<<20), bodyOrigin()
	for i := range 400 {
		serve(t, d.store, get(fmt.Sprint("/", 20_000+i)), o)
		if i%50 == 49 {
			d.settled() // the queue has a limit
		}
	}
	if n := d.store.Stats().Objects; n > 250 {
		t.Fatalf("%d objects in memory", n)
	}
	o.heads = nil
	for i := range 400 {
		g := serve(t, d.store, get(fmt.Sprint("/", 20_000+i)), o)
		if g.result.Outcome != cache.Hit || g.body != string(pattern(20_000+i)) {
			t.Fatalf("%d: %s", i, g.status())
		}
	}
	if len(o.heads) > 0 {
		t.Errorf("the origin was asked %d times", len(o.heads))
	}
}

// TestPurgesReachTheDisk (F27, C22): every kind of purge hits what is on the disk only, counts it, and holds after a restart.
func TestPurgesReachTheDisk(t *testing.T) {
	d, o := startTiers(t, 16<<20), bodyOrigin()
	fill := func() {
		for i := range 20 {
			serve(t, d.store, get(fmt.Sprint("/", 1000+i)), o)
		}
		d.forgetMemory()
	}
	outcomes := func() (hits int) {
		o.heads = nil
		for i := range 20 {
			if g := serve(t, d.store, get(fmt.Sprint("/", 1000+i)), o); g.result.Outcome == cache.Hit {
				hits++
			}
		}
		return hits
	}
	for _, restart := range []bool{false, true} {
		for _, test := range []struct {
			order purge.Order
			gone  int
		}{
			{purge.Order{Kind: purge.Prefix, Host: "example.org", Value: "/100"}, 10},
			{purge.Order{Kind: purge.Tag, Value: "all"}, 20},
			{purge.Order{Kind: purge.Host, Host: "example.org"}, 20},
			{purge.Order{Kind: purge.All}, 20},
		} {
			fill()
			before, err := d.store.Preview(t.Context(), test.order)
			if err != nil || before.Objects != test.gone || before.Bytes == 0 {
				t.Errorf("%v: the dry run says %+v, %v", &test.order, before, err)
			}
			if r, err := d.store.Order(t.Context(), test.order); err != nil || r.Objects != test.gone {
				t.Errorf("%v: %+v, %v", &test.order, r, err)
			}
			if restart {
				d.restart()
			}
			if hits := outcomes(); hits != 20-test.gone {
				t.Errorf("%v: %d hits (restart %v)", &test.order, hits, restart)
			}
		}
		fill()
		req := get("/1003")
		if r := d.store.PreviewURL("web", req.Canon, req.Policy); r.Objects != 1 || r.Bytes == 0 {
			t.Errorf("%+v", r)
		}
		if r, err := d.store.Purge("web", req.Canon, req.Policy, false); err != nil || r.Objects != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		if restart {
			d.restart()
		}
		if hits := outcomes(); hits != 19 {
			t.Errorf("%d hits", hits)
		}
	}
}

// TestALostRecordOfPurges (F29): without the journal nobody knows what was purged, so nothing that was stored is served.
func TestALostRecordOfPurges(t *testing.T) {
	d, o := startTiers(t, 16<<20), bodyOrigin()
	serve(t, d.store, get("/100"), o)
	d.settled()
	d.stop()
	if err := os.RemoveAll(filepath.Join(d.dir, "state")); err != nil {
		t.Fatal(err)
	}
	d.start()
	want(t, d.store, get("/100"), o, string(pattern(100)), cache.Miss)
}

// TestUnsafeRequestsReachTheDisk: RFC 9111 §4.4, also across a restart.
func TestUnsafeRequestsReachTheDisk(t *testing.T) {
	d, o := startTiers(t, 16<<20), bodyOrigin()
	serve(t, d.store, get("/100"), o)
	d.forgetMemory()
	post := request("POST https://example.org/100")
	if _, _, err := d.store.Serve(t.Context(), post, o); err != nil {
		t.Fatal(err)
	}
	d.restart()
	want(t, d.store, get("/100"), o, string(pattern(100)), cache.Miss)
}

// TestA304ReachesTheDisk: a response that was found fresh again stays so after a restart, with its new fields.
func TestA304ReachesTheDisk(t *testing.T) {
	d := startTiers(t, 16<<20)
	o := script(`200 abc | Cache-Control: max-age=0, stale-if-error=0 | ETag: "a"`, `304 x | Cache-Control: max-age=600 | ETag: "a" | X-New: 1`)
	want(t, d.store, get("/"), o, "abc", cache.Miss)
	d.settled()
	want(t, d.store, get("/"), o, "abc", cache.Revalidated)
	d.settled()
	d.restart()
	g := want(t, d.store, get("/"), o, "abc", cache.Hit)
	if v, _ := g.resp.Fields.Lookup("X-New"); v != "1" {
		t.Error(g.resp.Fields)
	}
}

// flip changes a byte of every file of the tier at random.
func flip(t testing.TB, dir string, r *rand.Rand) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(e.Name(), "-") {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil || info.Size() == 0 {
			return err
		}
		var b [1]byte
		at := r.Int64N(info.Size())
		_, _ = f.ReadAt(b[:], at)
		b[0] ^= 1 << r.IntN(8)
		_, err = f.WriteAt(b[:], at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestBitsThatFlip (F15): what is damaged on the disk is fetched anew, or breaks off before the damage; it is never served.
func TestBitsThatFlip(t *testing.T) {
	d, o := startTiers(t, 16<<20), bodyOrigin()
	r := rand.New(rand.NewPCG(1, 1))
	for range 10 {
		for _, n := range bodies {
			serve(t, d.store, get(fmt.Sprint("/", n)), o)
		}
		d.forgetMemory()
		d.stop()
		flip(t, filepath.Join(d.dir, "cache"), r)
		d.start()
		for _, n := range bodies {
			g := serve(t, d.store, get(fmt.Sprint("/", n)), o)
			whole := string(pattern(n))
			if g.err != nil || g.short == nil && g.body != whole || !strings.HasPrefix(whole, g.body) {
				t.Fatalf("%d: %v, %v, %d bytes", n, g.err, g.short, len(g.body))
			}
			if g.short == nil {
				continue
			}
			if g = serve(t, d.store, get(fmt.Sprint("/", n)), o); g.short != nil || g.body != whole {
				t.Fatalf("%d: damaged again: %v", n, g.short)
			}
		}
	}
}

// TestTwoTiersServeWhatAnOriginSent: as TestServedIsWhatAnOriginSent, with a disk, evictions to it, restarts and damage in between.
// MERIDIAN_SCHEDULES is how many worlds there are, 12 by default.
func TestTwoTiersServeWhatAnOriginSent(t *testing.T) {
	n := 12
	if v, err := strconv.Atoi(os.Getenv("MERIDIAN_SCHEDULES")); err == nil {
		n = v
	}
	if testing.Short() {
		n = 2
	}
	start := rand.Uint64()
	for i := range uint64(n) {
		if f := tiersWorld(t, start+i); f != "" {
			t.Fatalf("seed %d: %s", start+i, f)
		}
	}
}

func tiersWorld(t *testing.T, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 99))
	memory := []int64{300_000, 2 << 20, 64 << 20}[r.IntN(3)]
	d := startTiers(t, memory)
	defer func() { d.stop() }()
	w := &world{rnd: rand.New(rand.NewPCG(seed, 0)), complete: map[uint32]bool{}, asked: map[uint32]time.Time{}, fast: true}
	var purges [3]atomic.Int64
	var failure atomic.Pointer[string]
	for turn := range 1 + r.Uint64N(3) {
		clientsOf(t, d.store, w, seed+turn, 3, memory, &purges, &failure)
		if r.IntN(2) == 0 {
			d.settled()
		}
		d.stop()
		if r.IntN(3) == 0 {
			flip(t, filepath.Join(d.dir, "cache"), r)
		}
		d.start()
	}
	clientsOf(t, d.store, w, seed+100, 3, memory, &purges, &failure)
	if f := failure.Load(); f != nil {
		return *f
	}
	return ""
}
