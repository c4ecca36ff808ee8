package dns_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/need"
)

// TestDig asks with the client operators use.
func TestDig(t *testing.T) {
	dig := need.Tool(t, "dig")
	r := serve(t, steeredZones(t), config.Limits{})
	for _, test := range []struct {
		args string
		want []string // in the output
		not  []string
	}{
		{"www.example.org A", []string{"status: NOERROR", "flags: qr aa;", "192.0.2.2", "192.0.2.3", "udp: 1232"}, []string{"WARNING: Message", "ra;"}},
		{"wWw.eXample.ORG A +noedns", []string{"wWw.eXample.ORG.\t60\tIN\tA"}, []string{"EDNS"}},
		{"www.example.org A +tcp", []string{"status: NOERROR", "(TCP)"}, nil},
		{"latency.example.org A +subnet=198.51.100.0/24", []string{"192.0.2.31", "CLIENT-SUBNET: 198.51.100.0/24/24"}, nil},
		{"latency.example.org A +subnet=203.0.113.0/24", []string{"192.0.2.32", "CLIENT-SUBNET: 203.0.113.0/24/24"}, nil},
		{"latency.example.org A +subnet=2001:db8:f00::/48", []string{"192.0.2.33", "CLIENT-SUBNET: 2001:db8:f00::/48/48"}, nil},
		{"latency.example.org A +subnet=0", []string{"status: NOERROR", "CLIENT-SUBNET: 0.0.0.0/0/0"}, nil},
		{"www.example.org A +subnet=198.51.100.0/24", []string{"CLIENT-SUBNET: 198.51.100.0/24/0"}, nil},
		{"www.example.org A +edns=1 +noednsnegotiation", []string{"status: BADVERS", "version: 0"}, []string{"192.0.2.2"}},
		{"www.example.org A +ednsopt=100 +ednsflags=0x80 +cookie", []string{"status: NOERROR", "flags:; udp"}, []string{"OPT=100", "COOKIE"}},
		{"www.example.org A +dnssec +nsid", []string{"flags: do; udp"}, []string{"NSID"}},
		{"www.example.org A +opcode=15 +noedns", []string{"status: NOTIMP"}, nil},
		{"www.example.org A +header-only +noedns", []string{"status: FORMERR"}, nil},
		{"www.example.org A +bufsize=65535", []string{"udp: 1232"}, nil},
		{"nothing.example.org A", []string{"status: NXDOMAIN", "SOA"}, nil},
		{"www.sub.example.org A", []string{"status: NOERROR", "ns.sub.example.org.", "192.0.2.5"}, []string{" aa;"}},
		{"www.example.com A", []string{"status: REFUSED"}, nil},
		{"version.bind TXT CH", []string{"status: REFUSED"}, nil},
		{"example.org AXFR +noedns", []string{"failed"}, []string{"192.0.2.2"}},
		{"latency.example.org ANY", []string{"HINFO", "RFC8482"}, nil},
	} {
		t.Run(test.args, func(t *testing.T) {
			addr := r.udp
			args := strings.Fields(test.args)
			if strings.Contains(test.args, "+tcp") || strings.Contains(test.args, "AXFR") {
				addr = r.tcp
			}
			host, port, _ := net.SplitHostPort(addr)
			args = append([]string{"-r", "@" + host, "-p", port, "+tries=1", "+time=5", "+norecurse"}, args...)
			if strings.HasSuffix(test.args, "ANY") {
				args = append(args, "+notcp") // dig would use TCP for ANY
			}
			out, err := exec.CommandContext(t.Context(), dig, args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range test.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			for _, not := range test.not {
				if strings.Contains(string(out), not) {
					t.Errorf("%q in\n%s", not, out)
				}
			}
		})
	}
}
