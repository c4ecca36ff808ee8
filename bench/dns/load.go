package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// sample is one repetition of a case.
type sample struct {
	cpu  float64 // microseconds of the server for a query that was answered
	rate float64 // queries answered in a second
	lost int     // queries that were not
}

var (
	completedLine = regexp.MustCompile(`Queries completed:\s+(\d+)`)
	lostLine      = regexp.MustCompile(`Queries lost:\s+(\d+)`)
	rateLine      = regexp.MustCompile(`Queries per second:\s+([\d.]+)`)
	codesLine     = regexp.MustCompile(`Response codes:\s+(.*)`)
)

// dnsperf is the command, without what is different from one case to the other.
func dnsperf(s settings, port, file string, d time.Duration) []string {
	return []string{
		"taskset", "-c", strconv.Itoa(s.clientOn), "dnsperf", "-s", "127.0.0.1", "-p", port, "-B", "-d", file,
		"-c", "16", "-T", "1", "-q", "200", "-t", "2", "-l", strconv.FormatFloat(d.Seconds(), 'f', -1, 64),
	}
}

func (p *server) load(ctx context.Context, s settings, c testCase, d time.Duration) (sample, error) {
	before, err := cpuOf(p.cmd.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	args := dnsperf(s, p.port, c.file, d)
	if c.name == saturated {
		self, err := os.Executable()
		if err != nil {
			return sample{}, err
		}
		args = []string{"taskset", "-c", strconv.Itoa(s.clientOn), self, "-flood", c.file, "-port", p.port, "-duration", d.String()}
	}
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w\n%s", args[3], err, out)
	}
	after, err := cpuOf(p.cmd.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	find := func(line *regexp.Regexp) float64 {
		if m := line.FindSubmatch(out); m != nil {
			n, _ := strconv.ParseFloat(string(m[1]), 64)
			return n
		}
		return 0
	}
	completed := find(completedLine)
	want := "NOERROR"
	if c.name == "nxdomain" {
		want = "NXDOMAIN"
	}
	codes := codesLine.FindSubmatch(out)
	if completed == 0 || codes == nil || !strings.HasPrefix(string(codes[1]), want) || strings.Contains(string(codes[1]), ",") {
		return sample{}, fmt.Errorf("other answers than %s:\n%s", want, out)
	}
	return sample{cpu: (after - before).Seconds() * 1e6 / completed, rate: find(rateLine), lost: int(find(lostLine))}, nil
}

// rest waits until a server has done what it puts off while it is asked, such as collecting garbage: the next one has the same core. After three
// seconds it goes on all the same.
func (p *server) rest(ctx context.Context) error {
	const look, quiet = 50 * time.Millisecond, 2 * time.Millisecond
	before, err := cpuOf(p.cmd.Process.Pid)
	for range 3 * time.Second / look {
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
		var now time.Duration
		if now, err = cpuOf(p.cmd.Process.Pid); now-before < quiet {
			return err
		}
		before = now
	}
	return err
}

// tick is the unit of /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// scheduled is what the threads of a process have used, in nanoseconds where proc(5) has ticks, which are too coarse for a second on a
// busy machine. Threads that have ended are not in it: none of these servers ends any while it is asked.
func scheduled(pid int) (used time.Duration, ok bool) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, false
		}
		used, ok = used+time.Duration(n), true
	}
	return used, ok
}

// cpuOf is what a process and its children have used: some servers answer in a child.
func cpuOf(pid int) (time.Duration, error) {
	parents, used := map[int]int{}, map[int]time.Duration{}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		// The name in parentheses may hold anything; what follows it is numbers, of which the second is the parent.
		head, rest, _ := strings.Cut(string(text), " (")
		rest = rest[strings.LastIndexByte(rest, ')')+1:]
		fields := strings.Fields(rest)
		if len(fields) < 13 {
			return 0, fmt.Errorf("%s: not as in proc(5)", f)
		}
		id, _ := strconv.Atoi(head)
		parents[id], _ = strconv.Atoi(fields[1])
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		used[id] = time.Duration(user+system) * tick
		if exact, ok := scheduled(id); ok {
			used[id] = exact
		}
	}
	if _, ok := used[pid]; !ok {
		return 0, errors.New("the server has ended")
	}
	var total time.Duration
	for id, d := range used {
		for at := id; at > 1; at = parents[at] {
			if at == pid {
				total += d
				break
			}
		}
	}
	return total, nil
}
