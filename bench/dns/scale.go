package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// The scale run: many zone files, the time until the last of them is answered for, the memory that takes, and one zone that changes again
// and again while dnsperf asks for all of them.
const (
	scaleZones   = 10_000
	scaleRecords = 101 // of a zone, besides SOA and NS
	scaleReloads = 20
	scaleRate    = 20_000 // queries a second of dnsperf, well below what the server can do
	scaleLoad    = 15 * time.Second
)

func scale(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "bench-dns-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	progress("writing %d zone files of %d records", scaleZones, scaleRecords+2)
	if err := writeZones(dir); err != nil {
		return err
	}
	p := &server{name: "meridian", program: s.meridian, dir: dir}
	p.write = func(*server, *dataset) error {
		return p.file("meridian.yaml", fmt.Sprintf("version: 1\nedge: {name: bench}\nlog: {level: error}\nlisteners: {dns: [\"127.0.0.1:%s\"], admin: [\"unix:%s\"]}\n"+
			"dns: {zone_files: {directory: zones}}\n", p.port, filepath.Join(dir, "admin.sock")))
	}
	p.args = func(*server) []string { return []string{"run", "-c", "meridian.yaml"} }
	began := time.Now()
	s.serverOn = -1
	if err := p.start(ctx, s, &dataset{cases: []testCase{{name: "static", check: fmt.Sprintf("h%d.zone%d.example.", scaleRecords-1, scaleZones-1)}}}); err != nil {
		return err
	}
	defer p.stop()
	fmt.Printf("loaded: %d zones, %d records answered for after %v, peak memory %s\n", scaleZones, scaleZones*(scaleRecords+2),
		time.Since(began).Round(time.Millisecond), peak(p.cmd.Process.Pid))
	load := make(chan []byte, 1)
	go func() {
		args := dnsperf(s, p.port, filepath.Join(dir, "queries"), scaleLoad)
		out, err := exec.CommandContext(ctx, args[3], append(args[4:], "-Q", strconv.Itoa(scaleRate))...).CombinedOutput()
		if err != nil {
			out = fmt.Appendf(out, "dnsperf: %v", err)
		}
		load <- out
	}()
	var took []time.Duration
	for i := range scaleReloads {
		d, err := p.reload(ctx, i)
		if err != nil {
			return err
		}
		took = append(took, d)
	}
	out := <-load
	slices.Sort(took)
	fmt.Printf("one zone reloaded %d times, from the request to the new answer: median %v, worst %v\n", scaleReloads, took[len(took)/2], took[len(took)-1])
	lost, completed := lostLine.FindSubmatch(out), completedLine.FindSubmatch(out)
	if lost == nil || completed == nil {
		return fmt.Errorf("dnsperf:\n%s", out)
	}
	fmt.Printf("dnsperf meanwhile: %s queries completed, %s lost; peak memory in the end %s\n", completed[1], lost[1], peak(p.cmd.Process.Pid))
	return nil
}

func writeZones(dir string) error {
	if err := os.Mkdir(filepath.Join(dir, "zones"), 0o755); err != nil {
		return err
	}
	for i := range scaleZones {
		if err := writeScaleZone(dir, i, 0); err != nil {
			return err
		}
	}
	random := rand.New(rand.NewPCG(seed, seed))
	return writeQuestions(filepath.Join(dir, "queries"), func() string {
		return fmt.Sprintf("h%d.zone%d.example.", random.IntN(scaleRecords), random.IntN(scaleZones))
	}, false, random)
}

// writeScaleZone writes the file of a zone in one step, as an operator's tool should.
func writeScaleZone(dir string, i, version int) error {
	path := filepath.Join(dir, "zones", fmt.Sprintf("zone%d.example.zone", i))
	err := writeFile(path+".new", func(w *bufio.Writer) {
		fmt.Fprintf(w, "$TTL 300\n@ SOA ns.example. h.example. %d 3600 600 604800 300\n@ NS ns.example.\nversion A 192.0.2.%d\n", version+1, version)
		for k := range scaleRecords - 1 {
			fmt.Fprintf(w, "h%d A %s\n", k, hostAddress(k))
		}
		fmt.Fprintf(w, "h%d A %s\n", scaleRecords-1, hostAddress(version))
	})
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// reload changes the file of one zone, tells the server, and waits for the answer to change.
func (p *server) reload(ctx context.Context, i int) (time.Duration, error) {
	const changing = 4711
	version := i + 1
	if err := writeScaleZone(p.dir, changing, version); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := p.tell(ctx, fmt.Sprintf("/v1/reload?zone=zone%d.example", changing)); err != nil {
		return 0, err
	}
	client := mdns.Client{Timeout: 100 * time.Millisecond}
	want := fmt.Sprintf("192.0.2.%d", version)
	for time.Since(began) < 10*time.Second {
		m := new(mdns.Msg).SetQuestion(fmt.Sprintf("version.zone%d.example.", changing), mdns.TypeA)
		reply, _, err := client.ExchangeContext(ctx, m, net.JoinHostPort("127.0.0.1", p.port))
		if err == nil && len(reply.Answer) == 1 && strings.HasSuffix(reply.Answer[0].String(), want) {
			return time.Since(began), nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		time.Sleep(time.Millisecond)
	}
	return 0, errors.New("the changed zone is not answered")
}

// tell is what "meridian reload" does, without starting a process.
func (p *server) tell(ctx context.Context, path string) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(p.dir, "admin.sock"))
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://meridian"+path, nil)
	if err != nil {
		return err
	}
	reply, err := client.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, reply.Status)
	}
	return nil
}

// peak is the most memory that a process has had resident.
func peak(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err.Error()
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
