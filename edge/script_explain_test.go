package edge_test

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/proxy"
	"github.com/meridian-edge/meridian/steer"
)

func explainedURL(e *proxy.Explanation) string {
	if e.Refused != "" {
		return fmt.Sprintf("refused %s: %s\n", e.Refused, e.Why)
	}
	out := fmt.Sprintf("distribution %s, behavior %s, line %d\n", e.Distribution, e.Behavior, e.Line)
	if e.Redirect != "" {
		return out + e.Redirect + "\n"
	}
	decision := "off"
	if e.Cache != nil {
		decision = e.Cache.Decision
	}
	out += "cache: " + decision + "\n" + traced(e.Trace)
	for i, c := range e.Candidates {
		out += fmt.Sprintf("try %d. %s\n", i+1, c.Endpoint)
	}
	return out
}

func explainedName(e *dns.Explanation) string {
	var out strings.Builder
	for _, h := range e.Hops {
		fmt.Fprintf(&out, "%s: %s", h.Name, h.Match)
		if h.Record != "" {
			fmt.Fprintf(&out, ", %s, line %d", h.Record, h.Line)
		}
		out.WriteString("\n" + traced(h.Steps))
	}
	return out.String() + records(e.RCode, "", e.Answer)
}

// connects is the measured time of a way, which nobody can foretell.
var connects = regexp.MustCompile(`, connects in [^,]*`)

// traced prints the steps of a policy without the words of the last probe, which hold times.
func traced(trace steer.Trace) string {
	var out strings.Builder
	for _, s := range trace {
		detail, _, _ := strings.Cut(s.Detail, " (")
		detail = connects.ReplaceAllString(detail, "")
		fmt.Fprintf(&out, "%s%s: %s", strings.Repeat("  ", s.Depth), s.Group, strings.TrimSpace(s.Member+" "+s.Result))
		if detail != "" {
			out.WriteString(", " + detail)
		}
		out.WriteString("\n")
	}
	return out.String()
}
