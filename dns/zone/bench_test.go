package zone_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/dns/zone"
)

// bigText writes a zone of about n records in the shapes that zones are made of, names in the order of their numbers.
func bigText(n int) []byte {
	b := []byte(head + "ns1 AAAA 2001:db8::53\nmail A 192.0.2.25\n")
	for i := 0; i+10 <= n; i += 10 {
		b = fmt.Appendf(b, "www%d 300 IN A 192.0.2.%d\nwww%d 300 IN AAAA 2001:db8::%x:%x\n", i, i%256, i, i>>16, i&0xffff)
		b = fmt.Appendf(b, "cdn%d CNAME www%d\n", i, i)
		b = fmt.Appendf(b, "dept%d.corp IN MX 10 mail\n IN TXT \"v=spf1 ip4:192.0.2.%d -all\"\n", i, i%256)
		b = fmt.Appendf(b, "_sip._tcp.dept%d SRV 10 5 5060 www%d\n", i, i)
		b = fmt.Appendf(b, "h%d A 192.0.2.1\n A 192.0.2.2\n", i)
		b = fmt.Appendf(b, "child%d NS ns1\n%d.ptr PTR www%d.example.org.\n", i, i, i)
	}
	return b
}

func BenchmarkParseMillion(b *testing.B) {
	text := bigText(1_000_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var d *zone.Data
	for b.Loop() {
		var err error
		if d, _, err = zone.Parse(text, zone.ParseOptions{Origin: origin}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(d.Size())/float64(d.Len()), "state-B/record")
}

// codecLine is a record of a type that miekg/dns reads.
func BenchmarkParseOtherTypes(b *testing.B) {
	text := []byte(head)
	for i := range 10_000 {
		text = fmt.Appendf(text, "c%d CAA 0 issue \"ca.example.net\"\n", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := zone.Parse(text, zone.ParseOptions{Origin: origin}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckMillion(b *testing.B) {
	d := mustParse(b, bigText(1_000_000))
	for b.Loop() {
		for _, p := range zone.Check(d) {
			b.Fatal(p)
		}
	}
}

func BenchmarkWriteMillion(b *testing.B) {
	d := mustParse(b, bigText(1_000_000))
	var out bytes.Buffer
	for b.Loop() {
		out.Reset()
		if err := zone.Write(&out, d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDiffAndApplyMillion(b *testing.B) {
	d := mustParse(b, bigText(1_000_000))
	for b.Loop() {
		next, err := d.WithSerial(zone.NextSerial(d.Serial()))
		if err != nil {
			b.Fatal(err)
		}
		removed, added := zone.Diff(d, next)
		n := 0
		for range removed {
			n++
		}
		for range added {
			n++
		}
		if n != 2 {
			b.Fatal(n)
		}
	}
}

func mustParse(tb testing.TB, text []byte) *zone.Data {
	tb.Helper()
	d, _, err := zone.Parse(text, zone.ParseOptions{Origin: origin})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// manyFiles writes so many zones of so many records.
func manyFiles(tb testing.TB, zones, records int) (dir string) {
	tb.Helper()
	dir = tb.TempDir()
	text := bigText(records)
	for i := range zones {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("zone%d.example.zone", i)), text, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func BenchmarkLoad10000Zones(b *testing.B) {
	l := zone.NewLoader(zone.LoaderOptions{Dir: manyFiles(b, 10_000, 100)})
	sources, err := l.Sources()
	if err != nil {
		b.Fatal(err)
	}
	var z *zone.Zones
	b.ReportAllocs()
	for b.Loop() {
		z = nil
		if z, err = l.Load(b.Context(), nil, sources); err != nil {
			b.Fatal(err)
		}
	}
	size, records := 0, 0
	for l := range z.All() {
		if l.Err != nil {
			b.Fatal(l.Err)
		}
		size, records = size+l.Data.Size(), records+l.Data.Len()
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(size)/float64(records), "state-B/record")
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MB")
	b.ReportMetric(float64(records), "records")
	start := time.Now()
	if _, err := l.Load(b.Context(), z, sources); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "unchanged-ms")
}
