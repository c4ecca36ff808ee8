package cache_test

import (
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// TestR12RangesAreFetchedInSlices: a range of what is not stored is the slices that hold it, and what is stored of them is not fetched again.
func TestR12RangesAreFetchedInSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 10*mib + 100}
		g := wantPart(t, s, o, 0, "5-5", 5, 6)
		wantStatus(t, g, "eu1; fwd=miss; fwd-status=206; stored")
		synctest.Wait()
		wantAsked(t, o, "0-1048575 206")
		wantStatus(t, wantPart(t, s, o, 0, "7-99", 7, 100), "eu1; hit; ttl=60")
		wantAsked(t, o, "")
		g = wantPart(t, s, o, 0, "3145728-3145729", 3*mib, 3*mib+2)
		wantStatus(t, g, "eu1; fwd=partial; fwd-status=206; stored")
		synctest.Wait()
		wantAsked(t, o, "3145728-4194303 206")
		wantPart(t, s, o, 0, "-50", o.size-50, o.size) // the last slice
		wantAsked(t, o, "10485760-11534335 206")
		wantPart(t, s, o, 0, "10485760-", 10*mib, o.size)
		wantPart(t, s, o, 0, "1048570-1048579", mib-6, mib+4) // over an edge
		synctest.Wait()
		wantAsked(t, o, "1048576-2097151 206")
		wantPart(t, s, o, 0, "", 0, o.size)
		synctest.Wait()
		wantAsked(t, o, "2097152-3145727 206, 4194304-5242879 206, 5242880-6291455 206, 6291456-7340031 206, 7340032-8388607 206, 8388608-9437183 206, 9437184-10485759 206")
		if o.sent != o.size || o.open != 0 || o.most > 2 {
			t.Errorf("%d bytes of %d, %d bodies open, %d at one time", o.sent, o.size, o.open, o.most)
		}
		wantStatus(t, wantPart(t, s, o, 0, "", 0, o.size), "eu1; hit; ttl=60")
		wantAsked(t, o, "")
		if st := s.Stats(); st.Objects != 12 {
			t.Errorf("%+v, want the base and 11 slices", st)
		}
	})
}

// TestR12ColdSuffix: of the end of what is not known the first slice is fetched too, for its length.
func TestR12ColdSuffix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 1 << 40}
		wantPart(t, s, o, 0, "-1", o.size-1, o.size)
		synctest.Wait()
		wantAsked(t, o, "0-1048575 206, 1099510579200-1099511627775 206")
		if o.sent > 2*mib {
			t.Errorf("%d bytes for one", o.sent)
		}
	})
}

// TestR12AThousandOneByteRanges: ranges all over a large object fetch each slice once, however often they come.
func TestR12AThousandOneByteRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 300<<20), &file{size: 1 << 30}
		var wg sync.WaitGroup
		for i := range int64(1000) {
			wg.Go(func() {
				at := i * 1_073_741 % o.size
				g := serve(t, s, get("/f", rangeOf(uint(at), uint(at+1))), o)
				if g.err != nil || g.short != nil || g.body != string(fileBytes(0, at, at+1)) {
					t.Errorf("%d: %v %v, %d bytes", at, g.err, g.short, len(g.body))
				}
			})
			if i%50 == 49 {
				wg.Wait()
			}
		}
		wg.Wait()
		synctest.Wait()
		t.Logf("1,000 one-byte ranges on 1 GiB: %d requests, %d bytes from the origin", len(o.log), o.sent)
		seen := map[string]bool{}
		for _, r := range o.log {
			if seen[r] {
				t.Errorf("%s was fetched twice", r)
			}
			seen[r] = true
		}
		if o.sent > 1<<30 || o.most > 101 || s.Stats().Bytes > 300<<20 {
			t.Errorf("%d bytes from the origin, %d bodies at one time, %+v", o.sent, o.most, s.Stats())
		}
	})
}

// TestR16OneFetchOfASlice: a thousand who want the same slice of what is not known are one request.
func TestR16OneFetchOfASlice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 20 * mib, delay: time.Second}
		for _, first := range []bool{true, false} {
			var wg sync.WaitGroup
			start := time.Now()
			for i := range uint(1000) {
				wg.Go(func() {
					at := 5*mib + i
					if !first {
						at = 7*mib + i
					}
					g := serve(t, s, get("/f", rangeOf(at, at+100)), o)
					if g.err != nil || g.short != nil || g.body != string(fileBytes(0, int64(at), int64(at)+100)) {
						t.Errorf("%v %v %d", g.err, g.short, len(g.body))
					}
				})
			}
			wg.Wait()
			if took := time.Since(start); took != time.Second {
				t.Errorf("took %v", took)
			}
		}
		wantAsked(t, o, "5242880-6291455 206, 7340032-8388607 206")
	})
}

// TestSmallWholesByRange: what is no longer than a slice is stored whole, once a range of it was asked for.
func TestSmallWholesByRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 1000, tag: `W/"%d"`}
		wantPart(t, s, o, 0, "5-9", 5, 10)
		wantAsked(t, o, "0-1048575 206")
		synctest.Wait()
		wantStatus(t, wantPart(t, s, o, 0, "", 0, 1000), "eu1; hit; ttl=60")
		wantPart(t, s, o, 0, "-9", 991, 1000)
		wantAsked(t, o, "")
		if st := s.Stats(); st.Objects != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// TestWholesAreCutUp: a large response that comes whole is stored in slices, from which ranges are served while it comes.
func TestWholesAreCutUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 9 * mib}
		resp, result, err := s.Serve(t.Context(), get("/f"), o)
		if err != nil || resp.Length != o.size || string(result.AppendStatus(nil, "eu1")) != "eu1; fwd=miss; fwd-status=200; stored" {
			t.Fatal(resp, err)
		}
		synctest.Wait()
		if o.sent != 5*mib {
			t.Errorf("%d bytes before anybody reads: more than %d slices ahead", o.sent, 4)
		}
		wantPart(t, s, o, 0, "4194304-4194305", 4*mib, 4*mib+2)
		wantAsked(t, o, "200")
		body, err := read(resp)
		if err != nil {
			t.Fatal(err)
		}
		same(t, body, fileBytes(0, 0, o.size))
		synctest.Wait()
		wantPart(t, s, o, 0, "", 0, o.size)
		wantAsked(t, o, "")
		if o.sent != o.size || s.Stats().Objects != 10 {
			t.Errorf("%d bytes, %+v", o.sent, s.Stats())
		}
	})
}

// TestLargeWithoutRanges: without Accept-Ranges, or without a strong validator, or where the policy has no slices, a large response is whole.
func TestLargeWithoutRanges(t *testing.T) {
	f := func(name string, off bool, o *file) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(t, 128<<20)
			req := with(get("/f"), func(p *config.CachePolicy) { p.NoSlices = off })
			g := serve(t, s, req, o)
			synctest.Wait()
			if g.short != nil || s.Stats().Objects != 1 {
				t.Errorf("%s: %v, %+v", name, g.short, s.Stats())
			}
			same(t, g.body, fileBytes(0, 0, o.size))
		})
	}
	f("no ranges", false, &file{size: 9 * mib, plain: true})
	f("weak", false, &file{size: 9 * mib, tag: `W/"%d"`})
	f("no validator", false, &file{size: 9 * mib, tag: "-"})
	f("slices off", true, &file{size: 9 * mib})
	f("8 MiB", false, &file{size: 8 * mib})
}

// TestSlicesOff: a policy without slices sends ranges of what is not stored on as they are, also of what another policy has stored in slices.
func TestSlicesOff(t *testing.T) {
	s, o := newStore(t, 64<<20), &file{size: 4 * mib}
	wantPart(t, s, o, 0, "5-9", 5, 10)
	o.asked()
	g := serve(t, s, with(get("/f", "Range: bytes=5-9"), func(p *config.CachePolicy) { p.NoSlices = true }), o)
	checkPart(t, g, o, 0, "5-9", 5, 10)
	wantStatus(t, g, "eu1; fwd=bypass; fwd-status=206; detail=range")
	wantAsked(t, o, "5-9 206")
}

// TestMaxObjectBoundsSlices: what is larger than the policy allows is not stored in slices either.
func TestMaxObjectBoundsSlices(t *testing.T) {
	s, o := newStore(t, 64<<20), &file{size: 4 * mib}
	g := serve(t, s, with(get("/f", "Range: bytes=5-9"), func(p *config.CachePolicy) { p.MaxObject = 3 * mib }), o)
	checkPart(t, g, o, 0, "5-9", 5, 10)
	wantStatus(t, g, "eu1; fwd=bypass; fwd-status=206; detail=size")
	if s.Stats() != (cache.Stats{}) {
		t.Errorf("%+v", s.Stats())
	}
}

// TestConditionsOnSlices: HEAD, If-None-Match, If-Range and unsatisfiable ranges are answered from the base alone.
func TestConditionsOnSlices(t *testing.T) {
	s, o := newStore(t, 64<<20), &file{size: 3 * mib}
	wantPart(t, s, o, 0, "5-9", 5, 10)
	o.asked()
	head := serve(t, s, request("HEAD https://example.org/f"), o)
	if head.resp.Status != 200 || head.resp.Length != o.size || head.resp.Body != nil {
		t.Errorf("%+v", head.resp)
	}
	if g := serve(t, s, get("/f", `If-None-Match: "v0"`, "Range: bytes=5-9"), o); g.resp.Status != 304 || g.body != "" {
		t.Errorf("%+v", g.resp)
	}
	if g := serve(t, s, get("/f", "Range: bytes=3145728-"), o); g.resp.Status != 416 || field(g, "Content-Range") != "bytes */3145728" {
		t.Errorf("%+v", g.resp)
	}
	g := serve(t, s, get("/f", "Range: bytes=5-9", `If-Range: "v0"`), o)
	checkPart(t, g, o, 0, "5-9", 5, 10)
	wantAsked(t, o, "")
	g = serve(t, s, get("/f", "Range: bytes=5-9", `If-Range: "v1"`), o)
	checkPart(t, g, o, 0, "", 0, o.size)
	x := s.Explain(get("/f"))
	if !x.Stored || x.Bytes != o.size || x.Outcome != cache.Hit {
		t.Errorf("%+v", x)
	}
}

// TestR11PartsOfSlices: several ranges are several parts, or the whole where that is as short.
func TestR11PartsOfSlices(t *testing.T) {
	for _, warm := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, o := newStore(t, 64<<20), &file{size: 3 * mib}
			if warm {
				wantPart(t, s, o, 0, "", 0, o.size)
			}
			g := serve(t, s, get("/f", "Range: bytes=2097152-2097153,5-9,-3"), o)
			if g.err != nil || g.short != nil || g.resp.Status != 206 || int64(len(g.body)) != g.resp.Length {
				t.Fatalf("%v %v %+v", g.err, g.short, g.resp)
			}
			_, params, _ := mime.ParseMediaType(field(g, "Content-Type"))
			r := multipart.NewReader(strings.NewReader(g.body), params["boundary"])
			for _, span := range [][2]int64{{2 * mib, 2*mib + 2}, {5, 10}, {o.size - 3, o.size}} {
				p, err := r.NextRawPart()
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(p)
				if err != nil || string(b) != string(fileBytes(0, span[0], span[1])) {
					t.Errorf("%v: %d bytes, %v", span, len(b), err)
				}
			}
			synctest.Wait()
			if o.sent > o.size {
				t.Errorf("%d bytes", o.sent)
			}
			g = serve(t, s, get("/f", fmt.Sprintf("Range: bytes=0-%d,%d-", o.size-20, o.size-10)), o)
			checkPart(t, g, o, 0, "", 0, o.size)
		})
	}
}

// TestR12LeaveParts: who leaves several parts before the first leaves nothing behind.
func TestR12LeaveParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 3 * mib}
		resp, _, err := s.Serve(t.Context(), get("/f", "Range: bytes=5-9,2097152-2097153"), o)
		if err != nil || resp.Body.Close() != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.SetMemory(0)
		if s.Stats() != (cache.Stats{}) || o.open != 0 {
			t.Errorf("%+v, %d bodies open", s.Stats(), o.open)
		}
	})
}

// TestR12LeaderLeaves: the fetch of a slice goes on to the end of that slice, and so does one that cuts up a whole.
func TestR12LeaderLeaves(t *testing.T) {
	f := func(value string, sent int64, asked string) {
		synctest.Test(t, func(t *testing.T) {
			s, o := newStore(t, 64<<20), &file{size: 12 * mib, delay: time.Second}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second/2, cancel)
			req := get("/f")
			if value != "" {
				req = get("/f", "Range: bytes="+value)
			}
			if _, _, err := s.Serve(ctx, req, o); err == nil {
				t.Fatal("no error")
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if o.sent != sent || o.open != 0 || s.Stats().Fills != 0 {
				t.Errorf("%q: %d bytes, %d bodies open, %+v", value, o.sent, o.open, s.Stats())
			}
			wantAsked(t, o, asked)
			wantPart(t, s, o, 0, "5-9", 5, 10)
			wantAsked(t, o, "")
		})
	}
	f("5-9", mib, "0-1048575 206")
	f("", mib, "200")
}

// TestR12ReadersLeave: when the last of those who read a whole goes, its fetch ends.
func TestR12ReadersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 1 << 40}
		resp, _, err := s.Serve(t.Context(), get("/f"), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, resp.Body, 3*mib/2); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if o.sent > 6*mib || o.open != 1 {
			t.Errorf("%d bytes, %d bodies", o.sent, o.open)
		}
		resp.Body.Close()
		synctest.Wait()
		if o.open != 0 || s.Stats().Fills != 0 {
			t.Errorf("%d bodies open, %+v", o.open, s.Stats())
		}
		// What is there is used, the rest comes in slices.
		resp, _, err = s.Serve(t.Context(), get("/f"), o)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 8*mib)
		if _, err := io.ReadFull(resp.Body, b); err != nil {
			t.Fatal(err)
		}
		same(t, string(b), fileBytes(0, 0, 8*mib))
		resp.Body.Close()
		synctest.Wait()
		if o.sent > 9*mib || o.open != 0 {
			t.Errorf("%d bytes, %d bodies", o.sent, o.open)
		}
	})
}

// TestManyReadersOfALargeObject: whoever reads at whatever place, with and without ranges, each slice comes once.
func TestManyReadersOfALargeObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 12 * mib}
		var wg sync.WaitGroup
		for i := range int64(40) {
			wg.Go(func() {
				value, start := "", int64(0)
				if i%2 == 1 {
					start = i * 250_000
					value = fmt.Sprintf("%d-", start)
				}
				time.Sleep(time.Duration(i%7) * time.Millisecond)
				req := get("/f")
				if value != "" {
					req = get("/f", "Range: bytes="+value)
				}
				g := serve(t, s, req, o)
				if g.err != nil || g.short != nil || g.body != string(fileBytes(0, start, o.size)) {
					t.Errorf("%s: %v %v, %d bytes", value, g.err, g.short, len(g.body))
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if o.sent > o.size || o.open != 0 {
			t.Errorf("%d bytes of %d: %s", o.sent, o.size, o.asked())
		}
	})
}

// TestSlicesAreNamed: the key of a slice is the key of the whole and more.
func TestSlicesAreNamed(t *testing.T) {
	s, o := newStore(t, 64<<20), &file{size: 3 * mib}
	g := wantPart(t, s, o, 0, "5-9", 5, 10)
	if g.result.Key != s.Explain(get("/f")).Key || strings.Contains(g.result.Key, "slice") {
		t.Error(g.result.Key)
	}
	o.set(func(o *file) { o.control = "max-age=1" })
	g = serve(t, s, get("/g", "Range: bytes=0-0"), o)
	if g.resp.Fields.Has(httpwire.Age) {
		t.Error("Age of what was not stored")
	}
}

// TestCloudFrontRangeGETs: the profile asks for slices too, and untidy ranges get the whole.
func TestCloudFrontRangeGETs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 3 * mib}
		cf := func(value string) *cache.Request {
			return with(get("/f", "Range: bytes="+value), func(p *config.CachePolicy) { p.Profile = "cloudfront" })
		}
		checkPart(t, serve(t, s, cf("5-9"), o), o, 0, "5-9", 5, 10)
		synctest.Wait()
		wantAsked(t, o, "0-1048575 206")
		g := serve(t, s, cf("6-9"), o)
		wantStatus(t, g, "eu1; hit; ttl=60")
		checkPart(t, g, o, 0, "6-9", 6, 10)
		checkPart(t, serve(t, s, cf("20-29,0-9"), o), o, 0, "", 0, o.size)
	})
}

// TestR16SlicesOfVariants: what Vary tells apart has slices of its own, and they never meet, though a date is all that tells the versions apart.
func TestR16SlicesOfVariants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 3 * mib, tag: "-"}
		modified := date(time.Now().Add(-time.Hour))
		o.change = func(_ int, h *httpwire.Head, r *httpwire.Response) *httpwire.Response {
			r.Fields.AddName("Vary", "X-V")
			r.Fields.AddName("Last-Modified", modified)
			if v, _ := h.Fields.Lookup("X-V"); v == "b" && r.Body != nil {
				r.Body.(*fileBody).version = 7
			}
			return r
		}
		for _, value := range []string{"5-9", "2097152-2097160", "1048570-1048580"} {
			var start, end int64
			_, _ = fmt.Sscanf(value, "%d-%d", &start, &end)
			for variant, version := range map[string]int{"a": 0, "b": 7} {
				g := serve(t, s, get("/f", "X-V: "+variant, "Range: bytes="+value), o)
				checkPart(t, g, o, version, value, start, end+1)
			}
		}
	})
}
