package cache_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache"
)

// TestSlicesAreOnTheDisk: a base and its slices outlive their eviction from memory and the process, and purges reach them there.
func TestSlicesAreOnTheDisk(t *testing.T) {
	d, o := startTiers(t, 8<<20), &file{size: 20 * mib}
	for i := range int64(20) {
		start := i*mib + 5
		wantPart(t, d.store, o, 0, rangeOf(uint(start), uint(start+10))[len("Range: bytes="):], start, start+10)
		for d.store.Stats().Fills > 0 {
			time.Sleep(time.Millisecond)
		}
		d.settled() // the queue has a limit
	}
	if used := d.store.Stats().Bytes; used > 8<<20 {
		t.Errorf("%d bytes", used)
	}
	if n := len(o.log); n != 20 {
		t.Errorf("%d requests", n)
	}
	o.asked()
	wantPart(t, d.store, o, 0, "0-", 0, o.size)
	wantAsked(t, o, "")
	d.restart()
	g := wantPart(t, d.store, o, 0, "5242880-", 5*mib, o.size)
	if wantAsked(t, o, ""); g.result.Outcome != cache.Hit {
		t.Errorf("after a restart: %s", g.status())
	}
	resp, _, err := d.store.Serve(t.Context(), get("/f"), o)
	if err != nil {
		t.Fatal(err)
	}
	var files fileTaker
	if n, err := resp.Body.(io.WriterTo).WriteTo(&files); n != o.size || err != nil || files.direct < o.size/2 {
		t.Errorf("%d bytes, %d of them as files, %v", n, files.direct, err)
	}
	resp.Body.Close()
	same(t, files.String(), fileBytes(0, 0, o.size))
	if x := d.store.Explain(get("/f")); x.Bytes != o.size {
		t.Errorf("%+v", x)
	}
	if _, err := d.store.Purge("web", get("/f").Canon, nil, false); err != nil {
		t.Fatal(err)
	}
	wantPart(t, d.store, o, 0, "5-9", 5, 10)
	wantPart(t, d.store, o, 0, "5242885-5242889", 5*mib+5, 5*mib+10)
	wantAsked(t, o, "0-1048575 206, 5242880-6291455 206")
}

// fileTaker is a writer that takes files too.
type fileTaker struct {
	bytes.Buffer
	direct int64
}

func (f *fileTaker) ReadFrom(r io.Reader) (int64, error) {
	n, err := f.Buffer.ReadFrom(r)
	f.direct += n
	return n, err
}
