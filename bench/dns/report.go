package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// report is the table as Markdown, with what is needed to read it and to repeat it.
func report(s settings, up []*server, cases []testCase, results map[string][]sample) string {
	var b strings.Builder
	b.WriteString("# DNS servers side by side\n\nWritten by `make bench-dns`; how it measures and what that leaves out: [README](../README.md).\n\n")
	runs := 0
	for _, of := range results {
		runs = max(runs, len(of))
	}
	fmt.Fprintf(&b, "CPU is user and system time of the server for each query answered, in microseconds: the median of %d interleaved runs of %v,\n"+
		"the smallest and the largest in parentheses. Ratio is to Knot in the same case; below 1 is cheaper than Knot.\n\n", runs, s.duration)
	b.WriteString("| case | server | CPU us/query | ratio to Knot | queries/s | lost |\n|---|---|---:|---:|---:|---:|\n")
	for _, c := range cases {
		knot := median(results[c.name+" knot"], func(x sample) float64 { return x.cpu })
		for _, p := range up {
			got := results[c.name+" "+p.name]
			if len(got) == 0 {
				continue
			}
			lost := 0
			for _, x := range got {
				lost += x.lost
			}
			cpu, ratio := median(got, func(x sample) float64 { return x.cpu }), "-"
			least, most := got[0].cpu, got[0].cpu
			for _, x := range got {
				least, most = min(least, x.cpu), max(most, x.cpu)
			}
			if knot > 0 {
				ratio = fmt.Sprintf("%.2f", cpu/knot)
			}
			fmt.Fprintf(&b, "| %s | %s | %.2f (%.2f-%.2f) | %s | %.0f | %d |\n", c.name, p.name, cpu, least, most, ratio,
				median(got, func(x sample) float64 { return x.rate }), lost)
		}
	}
	b.WriteString("\nCases:\n\n")
	for _, c := range cases {
		fmt.Fprintf(&b, "- `%s`: %s\n", c.name, c.about)
	}
	fmt.Fprintf(&b, "\nServers, each on core %d of %s:\n\n", s.serverOn, machine())
	for _, p := range up {
		fmt.Fprintf(&b, "- %s: %s; `%s`\n", p.name, p.version, command(p))
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(&b, "\nLoad average at the end (about 2 is this benchmark alone): %s", load)
	fmt.Fprintf(&b, "\nClient: %s; `%s`\n", dnsperfVersion(), strings.Join(dnsperf(s, "PORT", "CASE.queries", s.duration), " "))
	return b.String()
}

// command is how a server was started, with its folder and its path left out.
func command(p *server) string {
	args := p.args(p)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], p.dir, "DIR")
	}
	return p.program[strings.LastIndexByte(p.program, '/')+1:] + " " + strings.Join(args, " ")
}

func median(of []sample, value func(sample) float64) float64 {
	if len(of) == 0 {
		return 0
	}
	all := make([]float64, len(of))
	for i, x := range of {
		all[i] = value(x)
	}
	slices.Sort(all)
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}

func machine() string {
	model := "an unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.SplitSeq(string(text), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, Linux %s", model, strings.TrimSpace(string(kernel)))
}

func dnsperfVersion() string {
	out, _ := exec.Command("dnsperf", "-h").CombinedOutput()
	for line := range strings.SplitSeq(string(out), "\n") {
		if strings.HasPrefix(line, "Version") {
			return "dnsperf " + strings.TrimPrefix(line, "Version ")
		}
	}
	return "dnsperf"
}
