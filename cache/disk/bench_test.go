//go:build linux

package disk_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache/disk"
)

var benchSizes = []int{1 << 10, 64 << 10, 1 << 20}

func sized(n int) string {
	if n < 1<<20 {
		return strconv.Itoa(n>>10) + "KiB"
	}
	return strconv.Itoa(n>>20) + "MiB"
}

// BenchmarkPut stores objects until they are in their files, 16 on the way at a time, each replacing an older one.
func BenchmarkPut(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(sized(n), func(b *testing.B) {
			x := opened(b, b.TempDir(), nil, nil)
			body := content(1, n)
			way := make(chan struct{}, 16)
			put := func(i int) {
				way <- struct{}{}
				if !x.Put(item(numbered(i%256), 0, "metadata", body, func() { <-way })) {
					b.Fatal("refused")
				}
			}
			b.SetBytes(int64(n))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				put(i)
				i++
			}
			for range cap(way) { // until all are done
				way <- struct{}{}
			}
		})
	}
}

// BenchmarkFind opens an object, reads all of it, and closes it.
func BenchmarkFind(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(sized(n), func(b *testing.B) {
			x := opened(b, b.TempDir(), nil, nil)
			x.put(numbered(1), 0, "metadata", content(1, n))
			p := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				o := x.one(numbered(1))
				if _, err := o.ReadAt(p, 0); err != nil {
					b.Fatal(err)
				}
				o.Close()
			}
		})
	}
}

// BenchmarkHas asks for what is not there.
func BenchmarkHas(b *testing.B) {
	x := opened(b, b.TempDir(), nil, nil)
	k := numbered(1)
	b.ReportAllocs()
	for b.Loop() {
		if x.Has(k) {
			b.Fatal("found")
		}
	}
}

// BenchmarkSend finds an object and writes it to a TCP connection: given to the kernel, and copied.
func BenchmarkSend(b *testing.B) {
	for _, n := range benchSizes {
		for _, how := range []string{"sent", "copied"} {
			b.Run(sized(n)+"/"+how, func(b *testing.B) {
				x := opened(b, b.TempDir(), nil, nil)
				x.put(numbered(1), 0, "metadata", content(1, n))
				server, wait := sink(b)
				var w io.Writer = server
				if how == "copied" {
					w = struct{ io.Writer }{server}
				}
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					o := x.one(numbered(1))
					if _, err := o.WriteRange(w, 0, o.Size()); err != nil {
						b.Fatal(err)
					}
					o.Close()
				}
				b.StopTimer()
				server.Close()
				wait()
			})
		}
	}
}

// sink is a TCP connection whose other end throws away what comes.
func sink(b *testing.B) (*net.TCPConn, func()) {
	b.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := ln.AcceptTCP()
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		throwAway(c)
	})
	c, err := net.DialTCP("tcp", nil, ln.Addr().(*net.TCPAddr))
	if err != nil {
		b.Fatal(err)
	}
	return c, wg.Wait
}

// millionVariable is how many files BenchmarkStart makes; it does nothing without.
const millionVariable = "MERIDIAN_DISK_OBJECTS"

// BenchmarkStart opens a folder with very many objects: time to the first object, time until all are known, memory for each. The files are
// empty but for one, because a listing does not look into them.
func BenchmarkStart(b *testing.B) {
	n, _ := strconv.Atoi(os.Getenv(millionVariable))
	if n == 0 {
		b.Skipf("%s is not set", millionVariable)
	}
	path := b.TempDir()
	x := opened(b, path, nil, nil)
	x.put(numbered(1), 0, "metadata", content(1, 1000))
	x.close()
	for i := range n - 1 {
		u := rand.Uint64()
		name := fmt.Sprintf("%016x-%016x-%016x-%08x", u, rand.Uint64(), 0, 2)
		f, err := os.OpenFile(filepath.Join(path, "objects", name[:2], name), os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			b.Fatal(i, err)
		}
		f.Close()
	}
	var first, listing time.Duration
	var memory, heap int64
	b.ResetTimer()
	for range b.N {
		before := heapNow()
		start := time.Now()
		d, err := disk.Open(disk.Options{Path: path, Size: 1 << 40, Identity: "a"})
		if err != nil {
			b.Fatal(err)
		}
		x := &tier{Tier: d, t: b}
		o := x.one(numbered(1))
		if _, err := o.ReadAt(make([]byte, 1000), 0); err != nil {
			b.Fatal(err)
		}
		o.Close()
		first += time.Since(start)
		start = time.Now()
		x.run()
		for !x.Stats().Complete {
			time.Sleep(time.Millisecond) // so that the polling costs nothing
		}
		listing += time.Since(start)
		memory += x.Stats().Memory
		if x.Stats().Objects != n {
			b.Fatal(x.Stats())
		}
		heap += heapNow() - before
		x.close()
	}
	b.ReportMetric(float64(first.Microseconds())/float64(b.N)/1000, "first-ms")
	b.ReportMetric(float64(listing.Milliseconds())/float64(b.N), "all-ms")
	b.ReportMetric(float64(memory)/float64(b.N)/float64(n), "index-B/object")
	b.ReportMetric(float64(heap)/float64(b.N)/float64(n), "heap-B/object")
}

func heapNow() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
