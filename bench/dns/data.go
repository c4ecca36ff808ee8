package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	mdns "github.com/miekg/dns"
)

const (
	smallZone  = "bench.example."
	largeZone  = "large.example."
	hosts      = 1000 // names of the small zone
	steered    = 100  // names of each steered case
	questions  = 100_000
	networks   = 256 // client subnets, spread over the networks of three regions
	seed       = 1
	serialText = "1 3600 600 604800 300"
	saturated  = "saturated"
)

// testCase is one kind of question.
type testCase struct {
	name  string
	about string
	file  string // of dnsperf: messages with their lengths before them, as over TCP
	check string // a name that must have an address before anything is measured
}

// dataset is what all servers serve and all clients ask. It is the same in every run.
type dataset struct {
	small, large string   // files of the zones, without what is steered
	names        []string // of the large zone, relative
	cases        []testCase
}

func writeData(dir string, records int) (*dataset, error) {
	random := rand.New(rand.NewPCG(seed, seed))
	d := &dataset{small: filepath.Join(dir, "bench.example"), large: filepath.Join(dir, "large.example")}
	small := make([]string, hosts)
	for i := range small {
		small[i] = fmt.Sprintf("h%d", i)
	}
	d.names = make([]string, records)
	for i := range d.names {
		d.names[i] = fmt.Sprintf("%s%x", word(random), i)
	}
	if err := writeZone(d.small, smallZone, small); err != nil {
		return nil, err
	}
	if err := writeZone(d.large, largeZone, d.names); err != nil {
		return nil, err
	}
	d.cases = []testCase{
		{saturated, "as static, with more queries at once than the server takes", "", "h1." + smallZone},
		{"static", "A of 1,000 names", "", "h1." + smallZone},
		{"nxdomain", "names that do not exist", "", "h1." + smallZone},
		{"million", fmt.Sprintf("A of random names in a zone of %d", records), "", d.names[0] + "." + largeZone},
		{"latency", "A by latency, client subnet in the query", "", "l1." + smallZone},
		{"weighted", "A by weight", "", "w1." + smallZone},
	}
	name := map[string]func() string{
		saturated:  func() string { return small[random.IntN(hosts)] + "." + smallZone },
		"static":   func() string { return small[random.IntN(hosts)] + "." + smallZone },
		"nxdomain": func() string { return word(random) + "." + smallZone },
		"million":  func() string { return d.names[random.IntN(records)] + "." + largeZone },
		"latency":  func() string { return fmt.Sprintf("l%d.%s", random.IntN(steered), smallZone) },
		"weighted": func() string { return fmt.Sprintf("w%d.%s", random.IntN(steered), smallZone) },
	}
	for i := range d.cases {
		c := &d.cases[i]
		c.file = filepath.Join(dir, c.name+".queries")
		if err := writeQuestions(c.file, name[c.name], c.name == "latency", random); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func word(random *rand.Rand) string {
	b := make([]byte, 6+random.IntN(10))
	for i := range b {
		b[i] = byte('a' + random.IntN(26))
	}
	return string(b)
}

// writeFile writes a file through a buffer.
func writeFile(path string, fill func(w *bufio.Writer)) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	fill(w)
	if err := w.Flush(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func writeZone(path, zone string, names []string) error {
	return writeFile(path, func(w *bufio.Writer) {
		fmt.Fprintf(w, "$ORIGIN %s\n$TTL 300\n@ SOA ns1.%s hostmaster.%s %s\n@ NS ns1.%s\nns1 A 192.0.2.1\n", zone, zone, zone, serialText, zone)
		for i, n := range names {
			fmt.Fprintf(w, "%s A %s\n", n, hostAddress(i))
		}
	})
}

func hostAddress(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, 18 + byte(i>>16&1), byte(i >> 8), byte(i)}) // RFC 2544's, for benchmarks
}

// region is a third of the clients, and where they are answered from.
type region struct {
	name     string
	lat, lon float64
	network  netip.Prefix
	answer   string
}

// regions are where the country database places their networks, so that every server divides the clients in the same way.
var regions = []region{
	{"eu", 50.1, 8.7, netip.MustParsePrefix("193.0.0.0/16"), "192.0.2.31"},
	{"us", 39.0, -77.5, netip.MustParsePrefix("12.0.0.0/16"), "192.0.2.32"},
	{"ap", 35.7, 139.7, netip.MustParsePrefix("133.0.0.0/16"), "192.0.2.33"},
}

func writeQuestions(path string, name func() string, subnet bool, random *rand.Rand) error {
	var failed error
	err := writeFile(path, func(w *bufio.Writer) {
		for range questions {
			m := new(mdns.Msg).SetQuestion(name(), mdns.TypeA)
			m.RecursionDesired = false
			m.SetEdns0(1232, false)
			if subnet {
				r := regions[random.IntN(len(regions))]
				a := r.network.Addr().As4()
				a[2] = byte(random.IntN(networks))
				o := &mdns.EDNS0_SUBNET{Code: mdns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: netip.AddrFrom4(a).AsSlice()}
				m.IsEdns0().Option = []mdns.EDNS0{o}
			}
			wire, err := m.Pack()
			if err != nil {
				failed = err
				return
			}
			_, _ = w.Write(binary.BigEndian.AppendUint16(nil, uint16(len(wire)))) // Flush reports what went wrong
			_, _ = w.Write(wire)
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

// each writes line once for every steered name, with its number for each %[1]d.
func each(line string) string {
	var b strings.Builder
	for i := range steered {
		fmt.Fprintf(&b, line, i)
	}
	return b.String()
}
