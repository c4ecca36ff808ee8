package edge_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/proxy"
)

// TestC22APurgeIsAPromise: while clients of three protocols ask without a pause, nothing that was fetched before a purge is served to a
// request that comes after its acknowledgement, whatever kind of purge it was.
func TestC22APurgeIsAPromise(t *testing.T) {
	var version, promised atomic.Int64
	n := start(t, fill(cachingNode, newOrigin(t, "web", func(w http.ResponseWriter, _ *http.Request) {
		v := version.Load()
		w.Header().Set("Cache-Control", "max-age=3600, stale-while-revalidate=3600, stale-if-error=3600")
		w.Header().Set("Surrogate-Key", "thing")
		_, _ = fmt.Fprint(w, v)
	})))
	var wg sync.WaitGroup
	var served atomic.Int64
	end := make(chan struct{})
	for _, rt := range threeClients(t, n) {
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-end:
						return
					default:
					}
					least := promised.Load()
					_, body, err := n.try(t.Context(), rt, "/promise", nil)
					if err != nil {
						t.Error(err)
						return
					}
					if v, err := strconv.ParseInt(body, 10, 64); err != nil || v < least {
						t.Errorf("version %q is served after version %d was promised", body, least)
						return
					}
					served.Add(1)
				}
			})
		}
	}
	orders := []proxy.PurgeQuery{{URL: "https://www.example.org/promise"}, {URL: "https://www.example.org/*"}, {Tag: "thing"}, {Host: "www.example.org"}, {All: true}}
	for i := range 10 * len(orders) {
		v := version.Add(1)
		if _, err := n.Purge(t.Context(), orders[i%len(orders)]); err != nil {
			t.Fatal(err)
		}
		promised.Store(v)
		for before := served.Load(); served.Load() < before+20 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
	}
	close(end)
	wg.Wait()
}

// TestR12OriginBytesOfSmallRanges: many ranges of a byte cost the origin no more than a slice or twice what clients get.
func TestR12OriginBytesOfSmallRanges(t *testing.T) {
	const size, slice = 64 << 20, 1 << 20
	content := bytes.NewReader(bytes.Repeat([]byte("0123456789abcdef"), size/16))
	var sent atomic.Int64
	n, _ := plainNode(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("ETag", `"a"`)
		http.ServeContent(&counted{w, &sent}, r, "", time.Unix(0, 0), io.NewSectionReader(content, 0, size))
	})
	for i := range 100 {
		response, body := n.raw(t, rawRequest("GET /big", fmt.Sprintf("Range: bytes=%d-%d", i*1000, i*1000)))
		if want := "0123456789abcdef"[i*1000%16 : i*1000%16+1]; response.StatusCode != 206 || body != want {
			t.Fatalf("range %d: %d %q, want %q", i, response.StatusCode, body, want)
		}
	}
	if got := sent.Load(); got > 2*slice {
		t.Errorf("the origin sent %d bytes for 100", got)
	}
}

// counted counts the bytes of a body.
type counted struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// TestR13PartsOfTwoVersionsAreNotMixed: what comes of an origin whose answers take turns between two versions is always one of them, or the
// beginning of one and then an error, and a weak tag is no word for a part (RFC 9110 section 13.1.5).
func TestR13PartsOfTwoVersionsAreNotMixed(t *testing.T) {
	const size = 3 << 20
	bodies := map[string]string{`"a"`: strings.Repeat("a", size), `"b"`: strings.Repeat("b", size)}
	for _, weak := range []string{"", "W/"} {
		var turn atomic.Int64
		n, _ := plainNode(t, func(w http.ResponseWriter, r *http.Request) {
			tag := []string{`"a"`, `"b"`}[turn.Add(1)%2]
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("ETag", weak+tag)
			http.ServeContent(w, r, "", time.Unix(0, 0), strings.NewReader(bodies[tag]))
		})
		for i := range 60 {
			from, to := i*47_000, i*47_000+i*1000
			fields := []string{fmt.Sprintf("Range: bytes=%d-%d", from, to)}
			if i%3 == 1 {
				fields = append(fields, "If-Range: "+weak+`"a"`)
			}
			if i%10 == 9 {
				fields = nil // the whole, which may be stored
			}
			response, body := n.raw(t, rawRequest("GET /v"+fmt.Sprint(i/20), fields...))
			tag := strings.TrimPrefix(response.Header.Get("ETag"), "W/")
			want, known := bodies[tag]
			if response.StatusCode == 206 {
				want = want[from : to+1]
			}
			// An object in slices ends where the origin has no more of its version: then the client sees that bytes are missing.
			if cut := int64(len(body)) < response.ContentLength; cut && known {
				want = want[:min(len(body), len(want))]
			}
			if !known || body != want {
				t.Fatalf("%d, %q: %d with tag %s and %d bytes, %d of them a and %d b", i, fields, response.StatusCode, tag, len(body),
					strings.Count(body, "a"), strings.Count(body, "b"))
			}
			if weak != "" && len(fields) == 2 && response.StatusCode != 200 {
				t.Errorf("%d: a weak tag in If-Range gets %d", i, response.StatusCode)
			}
		}
	}
}

// TestR14NothingIsDecoded: a body in a coding goes through and into the store as it is, however much it would become.
func TestR14NothingIsDecoded(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	n, o := plainNode(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write(bomb.Bytes())
	})
	for _, accept := range []string{"", "Accept-Encoding: gzip", "Accept-Encoding: identity"} {
		var fields []string
		if accept != "" {
			fields = append(fields, accept)
		}
		response, body := n.raw(t, rawRequest("GET /bomb", fields...))
		if response.Header.Get("Content-Encoding") != "gzip" || body != bomb.String() {
			t.Errorf("%q: %d bytes in %q, want the %d of the origin", accept, len(body), response.Header.Get("Content-Encoding"), bomb.Len())
		}
	}
	if o.asked.Load() != 1 {
		t.Errorf("%d fetches", o.asked.Load())
	}
}
