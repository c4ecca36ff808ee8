package dns_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/zone"
)

// bulkZone is a zone of n A records besides its SOA and NS.
func bulkZone(t testing.TB, origin string, n int) *zone.Data {
	t.Helper()
	wire := make([]byte, 256)
	end, err := mdns.PackDomainName(origin, wire, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	apex := wire[:end]
	b := zone.NewBuilder(apex)
	for _, text := range []string{"SOA ns.example. h.example. 7 7200 900 1209600 60", "NS ns.example."} {
		rr, err := mdns.NewRR(origin + " 300 " + text)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.AddRR(rr); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		label := fmt.Appendf(nil, "h%d", i)
		name := append(append([]byte{byte(len(label))}, label...), apex...)
		if err := b.Add(zone.Record{Name: name, Type: mdns.TypeA, TTL: 300, RData: binary.BigEndian.AppendUint32(nil, 0xC0000200|uint32(i&255))}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func bulkZones(t testing.TB, zones, records int) map[string]*zone.Data {
	t.Helper()
	data := make(map[string]*zone.Data, zones)
	for i := range zones {
		origin := fmt.Sprintf("zone%d.example.", i)
		data[origin] = bulkZone(t, origin, records-2)
	}
	return data
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestARecordTakesLittleMemory bounds what a record costs in compiled form, which is what a million of them are multiplied by.
func TestARecordTakesLittleMemory(t *testing.T) {
	data := bulkZones(t, 200, 100)
	before := heap()
	z := withData(t, dns.Deps{}, data)
	after := heap()
	if per := float64(after-before) / float64(z.Records()); after > before && per > 150 {
		t.Errorf("%.0f bytes for a record", per)
	}
	runtime.KeepAlive(data)
	runtime.KeepAlive(z)
}

// BenchmarkCompile is a million records in 10,000 zones; With is one of the zones replaced.
func BenchmarkCompile(b *testing.B) {
	data := bulkZones(b, 10_000, 100)
	compileAll := func() *dns.Zones {
		z, err := dns.Compile(&config.Config{}, dns.Deps{Data: data})
		if err != nil {
			b.Fatal(err)
		}
		return z
	}
	before := heap()
	z := compileAll()
	after := heap()
	size := 0
	for _, d := range data {
		size += d.Size()
	}
	b.Run("10000x100", func(b *testing.B) {
		for b.Loop() {
			compileAll()
		}
		b.ReportMetric(float64(after-before)/float64(z.Records()), "B/record")
		b.ReportMetric(float64(size)/float64(z.Records()), "B/record-data")
	})
	b.Run("TakenOver", func(b *testing.B) {
		for b.Loop() {
			if _, err := dns.Compile(&config.Config{}, dns.Deps{Data: data, Previous: z}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("With", func(b *testing.B) {
		next := bulkZone(b, "zone77.example.", 98)
		b.ResetTimer()
		for b.Loop() {
			if _, err := z.With("zone77.example.", next); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("WithNew", func(b *testing.B) {
		next := bulkZone(b, "new.example.", 98)
		b.ResetTimer()
		for b.Loop() {
			if _, err := z.With("new.example.", next); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMillion asks for random names of one zone of a million records, and of 10,000 zones of 100.
func BenchmarkMillion(b *testing.B) {
	for _, shape := range []struct{ zones, records int }{{1, 1_000_000}, {10_000, 100}} {
		b.Run(fmt.Sprintf("%dx%d", shape.zones, shape.records), func(b *testing.B) {
			started := time.Now()
			z := withData(b, dns.Deps{}, bulkZones(b, shape.zones, shape.records))
			packets := make([][]byte, 1<<16)
			r := rand.New(rand.NewPCG(1, 2))
			for i := range packets {
				packets[i] = question(fmt.Sprintf("h%d.zone%d.example.", r.IntN(shape.records-2), r.IntN(shape.zones)), mdns.TypeA)
			}
			b.Logf("made in %v", time.Since(started))
			var buf [dns.MaxUDP]byte
			c := &dns.Client{Addr: resolver}
			i := 0
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				i++
				if _, info := z.Answer(buf[:0], packets[i&(1<<16-1)], c, dns.UDP); info.RCode != 0 {
					b.Fatal(info)
				}
			}
		})
	}
}
