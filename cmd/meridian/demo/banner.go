package demo

import (
	"fmt"
	"os"
	"strings"
)

// banner says what runs where, and what the reader can try.
func banner(w *world, s *screen, version string, keep bool) []string {
	after := "Ctrl-C stops and cleans up"
	if keep {
		after = "Ctrl-C stops; the folder stays"
	}
	lines := []string{
		s.paint(bold, strings.TrimSpace("meridian "+version)+" demo") + " · on loopback only · nothing outside " + w.Dir + " is touched · " + after,
		"",
	}
	var origins, edges []string
	for _, o := range w.Origins {
		origins = append(origins, fmt.Sprintf("%s %s:%d", o.Name, o.Addr, w.Ports.Origin))
	}
	for _, e := range w.Edges {
		edges = append(edges, fmt.Sprintf("%s %s", pad(e.Name, 3), e.Addr))
	}
	lines = append(lines,
		"  "+s.paint(dim, "origins")+"   "+strings.Join(origins, "   "),
		"  "+s.paint(dim, "edges  ")+"   "+strings.Join(edges, "        "),
		fmt.Sprintf("            http :%d · https and h3 :%d · dns :%d · metrics http://%s:%d/metrics",
			w.Ports.HTTP, w.Ports.HTTPS, w.Ports.DNS, w.Edges[0].Addr, w.Ports.Metrics))
	for i, e := range w.Edges {
		var far []string
		for _, o := range w.Origins {
			far = append(far, fmt.Sprintf("%s %d ms", o.Name, roundTrip(o.point(), e.point()).Milliseconds()))
		}
		label := "       "
		if i == 0 {
			label = s.paint(dim, "delays ")
		}
		lines = append(lines, fmt.Sprintf("  %s   from %s to %s", label, e.Name, strings.Join(far, ", ")))
	}
	return append(append(append(lines, ""), tryLines(w)...), "")
}

// tryLines are commands for another terminal.
func tryLines(w *world) []string {
	first, last := w.Edges[0], w.Edges[len(w.Edges)-1]
	asker, other := w.Countries[0], w.Countries[len(w.Countries)-1]
	resolve := func(port uint16) string { return fmt.Sprintf("--resolve %s:%d:%s", host, port, first.Addr) }
	command := commandName()
	return []string{
		"  Try, in another terminal, while it runs:",
		fmt.Sprintf("    dig @%s -p %d %s +subnet=%s", first.Addr, w.Ports.DNS, host, asker.Subnet),
		fmt.Sprintf("    dig @%s -p %d %s +subnet=%s", first.Addr, w.Ports.DNS, host, other.Subnet),
		fmt.Sprintf("    curl -s -o /dev/null -D- %s http://%s:%d/", resolve(w.Ports.HTTP), host, w.Ports.HTTP),
		fmt.Sprintf("    curl -k --http2 -s -o /dev/null -D- %s https://%s:%d/", resolve(w.Ports.HTTPS), host, w.Ports.HTTPS),
		fmt.Sprintf("    %s explain http://%s:%d/ --client %s -c %s", command, host, w.Ports.HTTP, asker.Subnet.Addr().Next(), w.configFile(first)),
		fmt.Sprintf("    %s explain %s --client %s -c %s", command, host, other.Subnet.Addr().Next(), w.configFile(last)),
		fmt.Sprintf("    %s health -c %s", command, w.configFile(last)),
	}
}

// commandName is how the reader started this program: a binary that `go run` built is gone when the run is over.
func commandName() string {
	if path, err := os.Executable(); err == nil && strings.Contains(path, "go-build") {
		return "go run ./cmd/meridian"
	}
	return "meridian"
}

// summary is the end of a run for people.
func summary(r *Report, s *screen) []string {
	lines := []string{"", fmt.Sprintf("  %s requests in %.0f s · %s dns queries · %d failed · %d retried · %.1f %% from cache · p50 %.1f ms  p99 %.1f ms",
		thousands(r.Requests), r.DurationS, thousands(r.DNSQueries), r.FailedRequests, r.RetriedRequests, 100*r.HitRatio, r.P50MS, r.P99MS)}
	for _, f := range r.Failures {
		lines = append(lines, s.paint(red, "  failed: "+f))
	}
	for _, o := range r.Objectives {
		mark := s.paint(green, "ok    ")
		if !o.Met {
			mark = s.paint(red, "MISSED")
		}
		lines = append(lines, fmt.Sprintf("  %s  %s  %s", mark, pad(o.Name, 20), o.Got))
	}
	if r.Folder != "" {
		lines = append(lines, "", "  The configurations are in "+r.Folder)
	}
	return lines
}
