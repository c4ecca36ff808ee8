package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// TestR13WeakValidators: parts without a strong validator are not stored: ranges are passed on, the later ones at once.
func TestR13WeakValidators(t *testing.T) {
	for _, tag := range []string{`W/"%d"`, "-", "none"} {
		synctest.Test(t, func(t *testing.T) {
			s, o := newStore(t, 64<<20), &file{size: 3 * mib, tag: tag}
			g := wantPart(t, s, o, 0, "2097152-2097153", 2*mib, 2*mib+2)
			wantStatus(t, g, "eu1; fwd=bypass; fwd-status=206; detail=range")
			wantAsked(t, o, "2097152-3145727 206, 2097152-2097153 206")
			wantPart(t, s, o, 0, "5-9", 5, 10)
			wantAsked(t, o, "5-9 206")
			if s.Stats() != (cache.Stats{}) {
				t.Errorf("%+v", s.Stats())
			}
			wantPart(t, s, o, 0, "", 0, o.size) // which is not passed on
			wantAsked(t, o, "200")
			wantStatus(t, wantPart(t, s, o, 0, "5-9", 5, 10), "eu1; hit; ttl=60")
			time.Sleep(2 * time.Minute)
			o.asked()
		})
	}
}

// TestR13Dates: a date is a strong validator when it is older than the response; slices are asked for with If-Unmodified-Since.
func TestR13Dates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 3 * mib, tag: "-"}
		modified, since := time.Now().Add(-time.Hour), ""
		o.change = func(_ int, h *httpwire.Head, r *httpwire.Response) *httpwire.Response {
			since, _ = h.Fields.Get(httpwire.IfUnmodifiedSince)
			r.Fields.AddName("Last-Modified", date(modified))
			r.Fields.AddName("Date", date(time.Now()))
			return r
		}
		wantPart(t, s, o, 0, "5-9", 5, 10)
		g := wantPart(t, s, o, 0, "2097152-2097153", 2*mib, 2*mib+2)
		if wantStatus(t, g, "eu1; fwd=partial; fwd-status=206; stored"); since != date(modified) {
			t.Errorf("If-Unmodified-Since: %s", since)
		}
		modified = time.Now()
		g = serve(t, s, get("/new", "Range: bytes=5-9"), o)
		wantStatus(t, g, "eu1; fwd=bypass; fwd-status=206; detail=range")
	})
}

// TestF37AnotherVersion: when the origin has another version, whoever has bytes of the old one is cut off after them, whoever has none starts anew,
// and nobody gets bytes of both.
func TestF37AnotherVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 5 * mib}
		resp, _, err := s.Serve(t.Context(), get("/f", "Range: bytes=1000-"), o)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, mib/4)
		if _, err := io.ReadFull(resp.Body, b); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		o.set(func(o *file) { o.version, o.log = 1, nil })
		rest, err := read(resp)
		if !errors.Is(err, httpwire.ErrTruncated) || errors.Is(err, io.EOF) {
			t.Errorf("body error %v", err)
		}
		same(t, string(b)+rest, fileBytes(0, 1000, mib))
		wantAsked(t, o, "1048576-2097151 412")
		g := wantPart(t, s, o, 1, "5-9", 5, 10) // the base is gone
		wantStatus(t, g, "eu1; fwd=miss; fwd-status=206; stored")
		wantAsked(t, o, "0-1048575 206")
		o.set(func(o *file) { o.version = 2 })
		g = wantPart(t, s, o, 2, "4194304-", 4*mib, o.size) // nothing was sent yet
		wantStatus(t, g, "eu1; fwd=miss; fwd-status=206; stored")
		wantAsked(t, o, "4194304-5242879 412, 4194304-5242879 206")
		wantPart(t, s, o, 2, "", 0, o.size)
	})
}

// TestF37WrongSlices: whatever an origin sends instead of the slice that was asked for, no byte of it is served.
func TestF37WrongSlices(t *testing.T) {
	replace := func(r *httpwire.Response, name, value string) *httpwire.Response {
		r.Fields.Filter(func(f *httpwire.Field) bool { return f.Name != name })
		if value != "" {
			r.Fields.AddName(name, value)
		}
		return r
	}
	f := func(name string, change func(r *httpwire.Response) *httpwire.Response) {
		synctest.Test(t, func(t *testing.T) {
			s, o := newStore(t, 64<<20), &file{size: 5 * mib}
			wantPart(t, s, o, 0, "5-9", 5, 10)
			wrong := false
			o.change = func(n int, h *httpwire.Head, r *httpwire.Response) *httpwire.Response {
				if !h.Fields.Has(httpwire.IfMatch) {
					return r
				}
				wrong = true
				return change(r)
			}
			resp, _, err := s.Serve(t.Context(), get("/f", "Range: bytes=10-"), o)
			if err != nil {
				t.Fatal(name, err)
			}
			body, err := read(resp)
			if !errors.Is(err, httpwire.ErrTruncated) || !wrong {
				t.Errorf("%s: %v", name, err)
			}
			if !bytes.HasPrefix(fileBytes(0, 10, o.size), []byte(body)) {
				t.Errorf("%s: %d bytes, not all of them right", name, len(body))
			}
			synctest.Wait()
			if o.open != 0 {
				t.Errorf("%s: %d bodies open", name, o.open)
			}
		})
	}
	f("no ranges any more", func(r *httpwire.Response) *httpwire.Response {
		r.Status = 200
		return replace(r, "Content-Range", "")
	})
	f("another tag", func(r *httpwire.Response) *httpwire.Response { return replace(r, "ETag", `"other"`) })
	f("a weak tag", func(r *httpwire.Response) *httpwire.Response { return replace(r, "ETag", `W/"v0"`) })
	f("no tag", func(r *httpwire.Response) *httpwire.Response { return replace(r, "ETag", "") })
	f("another length", func(r *httpwire.Response) *httpwire.Response {
		return replace(r, "Content-Range", "bytes 1048576-2097151/5242881")
	})
	f("an unknown length", func(r *httpwire.Response) *httpwire.Response {
		return replace(r, "Content-Range", "bytes 1048576-2097151/*")
	})
	f("another place", func(r *httpwire.Response) *httpwire.Response {
		return replace(r, "Content-Range", "bytes 1048577-2097152/5242880")
	})
	f("less", func(r *httpwire.Response) *httpwire.Response {
		return replace(r, "Content-Range", "bytes 1048576-2097150/5242880")
	})
	f("no place", func(r *httpwire.Response) *httpwire.Response { return replace(r, "Content-Range", "") })
	f("several parts", func(r *httpwire.Response) *httpwire.Response {
		return replace(replace(r, "Content-Range", ""), "Content-Type", "multipart/byteranges; boundary=x")
	})
	f("coded", func(r *httpwire.Response) *httpwire.Response { return replace(r, "Content-Encoding", "gzip") })
	f("too short", func(r *httpwire.Response) *httpwire.Response {
		r.Length = -1
		r.Body.(*fileBody).end -= 1000
		return r
	})
	f("gone", func(r *httpwire.Response) *httpwire.Response { drop(r); return message("404 no") })
	f("an error", func(r *httpwire.Response) *httpwire.Response { drop(r); return message("503 no") })
	f("no body", func(r *httpwire.Response) *httpwire.Response {
		drop(r)
		r.Body = nil
		return r
	})
	f("nothing", func(r *httpwire.Response) *httpwire.Response { drop(r); return nil })
}

// TestF01CutInASlice: an origin that breaks off in a slice breaks off the bodies that read it, and that slice alone is not stored.
func TestF01CutInASlice(t *testing.T) {
	f := func(value string, start, cut int64, again string) {
		synctest.Test(t, func(t *testing.T) {
			s, o := newStore(t, 64<<20), &file{size: 10 * mib, slow: time.Millisecond, cut: cut}
			req := get("/f")
			if value != "" {
				req = get("/f", "Range: bytes="+value)
			}
			g := serve(t, s, req, o)
			if g.err != nil || !errors.Is(g.short, httpwire.ErrTruncated) {
				t.Errorf("%v %v", g.err, g.short)
			}
			same(t, g.body, fileBytes(0, start, cut))
			time.Sleep(10 * time.Second)
			if st := s.Stats(); st.Fills != 0 || o.open != 0 {
				t.Errorf("%+v, %d bodies open", st, o.open)
			}
			o.asked()
			wantPart(t, s, o, 0, "", 0, o.size)
			if asked := o.asked(); !strings.HasPrefix(asked, again) {
				t.Errorf("then the origin was asked for %q, want %q first", asked, again)
			}
		})
	}
	f("", 0, 5*mib/2, "2097152-3145727 206")
	f("", 0, 3*mib, "3145728-4194303 206")
	f("1000-", 1000, mib/2, "0-1048575 206")
}

// TestC15NothingOfARangeIsForTheWhole: what is no 200 or 206 to a range is for its requester alone, and no answer to a plain GET.
func TestC15NothingOfARangeIsForTheWhole(t *testing.T) {
	for _, status := range []int{302, 400, 403, 404, 410, 416, 500, 503} {
		for _, profile := range []string{"rfc9111", "cloudfront"} {
			s, o := newStore(t, 64<<20), &file{size: 3 * mib}
			o.change = func(n int, h *httpwire.Head, r *httpwire.Response) *httpwire.Response {
				if n == 1 {
					drop(r)
					return message(fmt.Sprintf("%d x | Cache-Control: max-age=60", status))
				}
				return r
			}
			req := with(get("/f", "Range: bytes=5-9"), func(p *config.CachePolicy) { p.Profile = profile })
			g := serve(t, s, req, o)
			if status != 416 && (g.resp.Status != status || s.Stats().Objects != 0) {
				t.Errorf("%s %d: got %d, %+v", profile, status, g.resp.Status, s.Stats())
			}
			if status == 416 { // it says nothing of the length, so the client's own range is asked for
				checkPart(t, g, o, 0, "5-9", 5, 10)
			}
			whole := with(get("/f"), func(p *config.CachePolicy) { p.Profile = profile })
			checkPart(t, serve(t, s, whole, o), o, 0, "", 0, o.size)
		}
	}
}

// TestUnsatisfiable: a range beyond what is not stored gets the origin's 416; one of several that are not all beyond it gets what there is.
func TestUnsatisfiable(t *testing.T) {
	s, o := newStore(t, 64<<20), &file{size: 3 * mib}
	g := serve(t, s, get("/f", "Range: bytes=99999999-"), o)
	if g.resp.Status != 416 || field(g, "Content-Range") != "bytes */3145728" || s.Stats().Objects != 0 {
		t.Errorf("%+v", g.resp)
	}
	wantAsked(t, o, "99614720-100663295 416")
	g = serve(t, s, get("/f", "Range: bytes=99999999-,0-1"), o)
	checkPart(t, g, o, 0, "99999999-,0-1", 0, 2)
	g = serve(t, s, get("/g", "Range: bytes=99999999-", `If-Range: "old"`), o)
	if g.resp.Status == 200 {
		t.Errorf("If-Range: %d", g.resp.Status) // this origin does not look at it
	}
}

// TestRangesOfWhatIsNotStorable: a range of what may not be stored is the origin's own answer.
func TestRangesOfWhatIsNotStorable(t *testing.T) {
	for control, reason := range map[string]string{"private": "private", "no-store": "no-store", "max-age=0": `"no freshness"`} {
		s, o := newStore(t, 64<<20), &file{size: 3 * mib, control: control}
		if control == "max-age=0" {
			o.tag, reason = "-", `"no freshness"`
		}
		g := wantPart(t, s, o, 0, "5-9", 5, 10)
		wantStatus(t, g, "eu1; fwd=bypass; fwd-status=206; detail="+reason)
		wantPart(t, s, o, 0, "6-9", 6, 10)
		wantAsked(t, o, "0-1048575 206, 5-9 206, 6-9 206")
		if s.Stats() != (cache.Stats{}) {
			t.Errorf("%+v", s.Stats())
		}
	}
}

// TestStaleBase: a base is validated together with the slice that is wanted. A 304 keeps the slices, anything else replaces them all.
func TestStaleBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 4 * mib, control: "max-age=60, stale-if-error=1000"}
		wantPart(t, s, o, 0, "5-9", 5, 10)
		wantPart(t, s, o, 0, "2097152-2097153", 2*mib, 2*mib+2)
		synctest.Wait()
		o.asked()
		time.Sleep(2 * time.Minute)
		g := wantPart(t, s, o, 0, "2097152-2097153", 2*mib, 2*mib+2)
		wantStatus(t, g, "eu1; fwd=stale; fwd-status=304; stored")
		wantAsked(t, o, "2097152-3145727 304")
		wantStatus(t, wantPart(t, s, o, 0, "5-9", 5, 10), "eu1; hit; ttl=60")
		time.Sleep(2 * time.Minute)
		o.set(func(o *file) {
			o.change = func(int, *httpwire.Head, *httpwire.Response) *httpwire.Response { return nil }
		})
		g = wantPart(t, s, o, 0, "5-9", 5, 10)
		wantStatus(t, g, "eu1; fwd=stale; detail=stale-if-error")
		o.set(func(o *file) { o.change, o.version, o.log = nil, 1, nil })
		g = wantPart(t, s, o, 1, "5-9", 5, 10)
		wantStatus(t, g, "eu1; fwd=stale; fwd-status=206; stored")
		wantPart(t, s, o, 1, "2097152-2097153", 2*mib, 2*mib+2)
		wantAsked(t, o, "0-1048575 206, 2097152-3145727 206")
		time.Sleep(2 * time.Minute)
		o.set(func(o *file) { o.version, o.size = 2, 3*mib })
		wantPart(t, s, o, 2, "", 0, o.size)
	})
}

// TestStaleWhole: a range of a whole that is stale is validated with the range, so that a new version does not come whole.
func TestStaleWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 4 * mib}
		wantPart(t, s, o, 0, "", 0, o.size)
		synctest.Wait()
		time.Sleep(2 * time.Minute)
		o.set(func(o *file) { o.version, o.sent, o.log = 1, 0, nil })
		wantPart(t, s, o, 1, "2097152-2097153", 2*mib, 2*mib+2)
		synctest.Wait()
		if wantAsked(t, o, "2097152-3145727 206"); o.sent != mib {
			t.Errorf("%d bytes", o.sent)
		}
	})
}

// TestC22PurgeOfSlices: after a purge of any kind no slice of before is served to a request, though the version is the same; whoever reads goes on.
func TestC22PurgeOfSlices(t *testing.T) {
	f := func(name string, purgeIt func(s *cache.Store)) {
		synctest.Test(t, func(t *testing.T) {
			s, o := newStore(t, 64<<20), &file{size: 4 * mib, control: "max-age=60, stale-if-error=1000"}
			o.change = func(_ int, _ *httpwire.Head, r *httpwire.Response) *httpwire.Response {
				r.Fields.AddName("Surrogate-Key", "video")
				return r
			}
			wantPart(t, s, o, 0, "", 0, o.size)
			resp, _, err := s.Serve(t.Context(), get("/f"), o)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			purgeIt(s)
			if n := s.Stats().Objects; n != 0 {
				t.Errorf("%s: %d objects left", name, n)
			}
			o.set(func(o *file) { o.log, o.sent = nil, 0 })
			wantPart(t, s, o, 0, "5-9", 5, 10)
			wantPart(t, s, o, 0, "2097152-2097153", 2*mib, 2*mib+2)
			synctest.Wait()
			if wantAsked(t, o, "0-1048575 206, 2097152-3145727 206"); o.sent != 2*mib {
				t.Errorf("%s: %d bytes", name, o.sent)
			}
			body, err := read(resp)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			same(t, body, fileBytes(0, 0, o.size))
		})
	}
	f("URL", func(s *cache.Store) { _, _ = s.Purge("web", get("/f").Canon, nil, false) })
	f("tag", func(s *cache.Store) {
		_, _ = s.Order(context.Background(), purge.Order{Kind: purge.Tag, Site: "web", Value: "video"})
	})
	f("prefix", func(s *cache.Store) {
		_, _ = s.Order(context.Background(), purge.Order{Kind: purge.Prefix, Site: "web", Host: "example.org", Value: "/"})
	})
}

// TestF28PurgeOfAFetch: slices whose fetch began before a purge are not stored, nor joined by a later request.
func TestF28PurgeOfAFetch(t *testing.T) {
	f := func(name string, purgeIt func(s *cache.Store)) {
		for _, value := range []string{"", "5-"} {
			synctest.Test(t, func(t *testing.T) {
				s, o := newStore(t, 64<<20), &file{size: 10 * mib}
				o.change = func(_ int, _ *httpwire.Head, r *httpwire.Response) *httpwire.Response {
					r.Fields.AddName("Surrogate-Key", "video")
					return r
				}
				req := get("/f")
				if value != "" {
					req = get("/f", "Range: bytes="+value)
				}
				resp, _, err := s.Serve(t.Context(), req, o)
				if err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 3*mib/4)
				if _, err := io.ReadFull(resp.Body, b); err != nil {
					t.Fatal(err)
				}
				purgeIt(s)
				o.set(func(o *file) { o.version, o.log = 1, nil })
				wantPart(t, s, o, 1, "1048576-1048577", mib, mib+2)
				wantPart(t, s, o, 1, "5-9", 5, 10)
				rest, err := read(resp)
				all := string(b) + rest
				if err == nil && value != "" || !bytes.HasPrefix(fileBytes(0, o.size-int64(resp.Length), o.size), []byte(all)) {
					t.Errorf("%s %q: %v, %d bytes", name, value, err, len(all))
				}
				synctest.Wait()
				wantPart(t, s, o, 1, "", 0, o.size)
			})
		}
	}
	f("URL", func(s *cache.Store) { _, _ = s.Purge("web", get("/f").Canon, nil, false) })
	f("tag", func(s *cache.Store) {
		_, _ = s.Order(context.Background(), purge.Order{Kind: purge.Tag, Site: "web", Value: "video"})
	})
	f("soft", func(s *cache.Store) { _, _ = s.Purge("web", get("/f").Canon, nil, true) })
}

// TestObjectsLargerThanMemory: the ceiling holds while objects that are larger are read, by many at different places, and they are right.
func TestObjectsLargerThanMemory(t *testing.T) {
	for _, memory := range []int64{0, 900_000, 2 * mib, 4 * mib, 16 * mib} {
		synctest.Test(t, func(t *testing.T) {
			s, o := newStore(t, memory), &file{size: 20 * mib}
			results := make(chan got, 12)
			for i := range int64(12) {
				go func() {
					time.Sleep(time.Duration(i) * time.Millisecond)
					if i%2 == 0 {
						results <- serve(t, s, get("/f"), o)
						return
					}
					results <- serve(t, s, get("/f", fmt.Sprintf("Range: bytes=%d-", i*mib)), o)
				}()
			}
			for range 12 {
				g := <-results
				if g.err != nil || g.short != nil {
					t.Fatalf("memory %d: %v %v", memory, g.err, g.short)
				}
				same(t, g.body, fileBytes(0, o.size-int64(len(g.body)), o.size))
				if used := s.Stats().Bytes; used > memory {
					t.Errorf("memory %d: %d bytes resident", memory, used)
				}
			}
			synctest.Wait()
			if o.open != 0 || s.Stats().Fills != 0 {
				t.Errorf("memory %d: %d bodies open, %+v", memory, o.open, s.Stats())
			}
			s.SetMemory(0)
			if s.Stats() != (cache.Stats{}) {
				t.Errorf("memory %d: left %+v", memory, s.Stats())
			}
		})
	}
}

// TestCloseEndsSlices: bodies that wait for slices end with an error when the store is closed, and what is stored is still served.
func TestCloseEndsSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 64<<20), &file{size: 20 * mib}
		resp, _, err := s.Serve(t.Context(), get("/f"), o)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.Close()
		if _, err := read(resp); !errors.Is(err, httpwire.ErrTruncated) || o.open != 0 {
			t.Errorf("%v, %d bodies open", err, o.open)
		}
		wantPart(t, s, o, 0, "5-9", 5, 10)
		o.asked()
		wantPart(t, s, o, 0, "15728640-15728641", 15*mib, 15*mib+2)
		wantAsked(t, o, "15728640-15728641 206") // passed on
	})
}
