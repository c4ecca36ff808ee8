// Command dns measures authoritative DNS servers side by side in one run: this one, Knot DNS, NSD, BIND, gdnsd and CoreDNS, with the same
// zones, on one core each in turn, with dnsperf on another. It writes a table of the CPU time that a query costs.
//
//	go run ./bench/dns -meridian ./meridian -out bench/dns/RESULTS.md
//
// See ../README.md for what is measured and what that does not say.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	meridian string
	coredns  string
	only     string
	cases    string
	out      string
	records  int
	rounds   int
	duration time.Duration
	ready    time.Duration
	limit    time.Duration
	began    time.Time
	serverOn int
	clientOn int
	flood    string
	port     uint
	scale    bool
}

func main() {
	var s settings
	flag.StringVar(&s.meridian, "meridian", "./meridian", "the binary to measure")
	flag.StringVar(&s.coredns, "coredns", "coredns", "the CoreDNS binary; one that is not found is built into a temporary folder; empty: without it")
	flag.StringVar(&s.only, "only", "", "comma-separated servers to run; empty: all")
	flag.StringVar(&s.cases, "cases", "", "comma-separated cases to run; empty: all")
	flag.StringVar(&s.out, "out", "", "where the table goes; empty: standard output")
	flag.IntVar(&s.records, "records", 1_000_000, "records of the large zone")
	flag.IntVar(&s.rounds, "rounds", 5, "repetitions, interleaved; the table has their medians")
	flag.DurationVar(&s.duration, "duration", time.Second, "of one repetition of one case against one server")
	flag.DurationVar(&s.ready, "ready", 2*time.Minute, "for a server to have loaded its zones")
	flag.DurationVar(&s.limit, "limit", 6*time.Minute, "no round begins that would end after this; the table says how many there were")
	flag.IntVar(&s.serverOn, "server-core", 0, "the core of the server")
	flag.IntVar(&s.clientOn, "client-core", 1, "the core of dnsperf")
	flag.StringVar(&s.flood, "flood", "", "be the client of the case saturated with this file of queries, against -port")
	flag.UintVar(&s.port, "port", 53, "for -flood")
	flag.BoolVar(&s.scale, "scale", false, "instead: load 10,000 zones of 103 records and reload one under load")
	flag.Parse()
	s.began = time.Now()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	act := run
	switch {
	case s.flood != "":
		act = floodOnce
	case s.scale:
		act = scale
	}
	if err := act(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench/dns:", err)
		os.Exit(1)
	}
}

func floodOnce(_ context.Context, s settings) error {
	answered, lost, took, err := flood(uint16(s.port), s.flood, s.duration)
	if err == nil {
		// As dnsperf says it.
		fmt.Printf("Queries completed: %d\nQueries lost: %d\nQueries per second: %.0f\nResponse codes: NOERROR\n", answered, lost, float64(answered)/took.Seconds())
	}
	return err
}

func run(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "bench-dns-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // some servers give up their rights before they read
		return err
	}
	progress("writing zones of %d records", s.records)
	data, err := writeData(dir, s.records)
	if err != nil {
		return err
	}
	var up []*server
	defer func() {
		for _, p := range up {
			p.stop()
		}
	}()
	for _, p := range peers(s, dir) {
		if s.only != "" && !contains(s.only, p.name) {
			continue
		}
		p.dir = filepath.Join(dir, p.name)
		switch err := p.start(ctx, s, data); {
		case errors.Is(err, errAbsent):
			progress("SKIPPED %s: %v", p.name, err)
		case err != nil:
			p.stop()
			return fmt.Errorf("%s: %w", p.name, err)
		default:
			up = append(up, p)
			progress("%s is up: %s", p.name, p.version)
		}
	}
	results, err := measure(ctx, s, data, up)
	if err != nil {
		return err
	}
	text := report(s, up, data.cases, results)
	if s.out == "" {
		fmt.Print(text)
		return nil
	}
	return os.WriteFile(s.out, []byte(text), 0o644)
}

// measure runs every case against every server, round by round, each time in another order: what else the machine does in the
// meantime then strikes all alike, and so does what a server leaves behind for the next.
func measure(ctx context.Context, s settings, data *dataset, up []*server) (map[string][]sample, error) {
	results := map[string][]sample{}
	var longest time.Duration // of the rounds that count
	for round := range s.rounds + 1 {
		start := time.Now()
		if round > 1 && time.Since(s.began)+longest > s.limit {
			progress("stopping after %d rounds: %v are over", round-1, s.limit)
			break
		}
		for _, c := range data.cases {
			if s.cases != "" && !contains(s.cases, c.name) {
				continue
			}
			for _, i := range rand.Perm(len(up)) {
				p := up[i]
				if !p.does(c.name) {
					continue
				}
				duration := s.duration
				if round == 0 {
					duration = s.duration / 4 // to warm up, and not counted
				}
				got, err := p.load(ctx, s, c, duration)
				if err == nil {
					err = p.rest(ctx)
				}
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", p.name, c.name, err)
				}
				if round > 0 {
					results[c.name+" "+p.name] = append(results[c.name+" "+p.name], got)
					progress("%d %-10s %-9s %6.2f us/query %8.0f queries/s %d lost", round, c.name, p.name, got.cpu, got.rate, got.lost)
				}
			}
		}
		if round > 0 {
			longest = max(longest, time.Since(start))
		}
	}
	return results, nil
}

func contains(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
