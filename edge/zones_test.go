package edge_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/internal/need"
)

// digs asks a node with dig and returns what it prints.
func digs(t *testing.T, n *node, kind string, args ...string) string {
	t.Helper()
	addr := n.Addr(kind, 0)
	out, err := exec.CommandContext(t.Context(), need.Tool(t, "dig"), append([]string{"@" + addr.Addr().String(), "-p", fmt.Sprint(addr.Port())}, args...)...).CombinedOutput()
	if err != nil && !strings.Contains(string(out), ";;") {
		t.Fatalf("dig %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// freePort is a port that nobody has for now. Two servers that name each other cannot both choose theirs.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// steeredPrimary is the zone of a primary that fails over, for one secondary.
const steeredPrimary = `
version: 1
edge: {name: ns1}
log: {access: off}
listeners: {dns: ["127.0.0.1:0"], metrics: ["127.0.0.1:0"]}
dns: {keys: {xfer: {secret: c2VjcmV0IG9mIHRoZSB0ZXN0IHRoYXQgaXMgbG9uZw==}}}
checks: {a: {type: http, target: %q, interval: 100ms, timeout: 90ms, rise: 1, fall: 2}}
zones:
  example.org:
    nameservers: [ns1.example.net]
    notify: [{address: "127.0.0.1:%d", key: xfer}]
    transfer: {keys: [xfer]}
    records:
      - {name: www, type: A, ttl: 30s, policy: failover, answers: [
          {id: a, role: primary, values: [192.0.2.1], check: a}, {id: b, role: secondary, values: [192.0.2.2]}]}
`

// A plain secondary fails over with its primary: steered names are transferred as what a client that nothing is known of gets, and when health
// changes that, the secondary is told. It does so whether it is one of ours, NSD or BIND.
func TestASecondaryFailsOverWithItsPrimary(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, dir string, port int, primary netip.AddrPort){
		"meridian": func(t *testing.T, dir string, port int, primary netip.AddrPort) {
			start(t, fmt.Sprintf("version: 1\nedge: {name: ns2}\nlog: {access: off}\nlisteners: {dns: [\"127.0.0.1:%d\"], metrics: [\"127.0.0.1:0\"]}\n"+
				"dns: {keys: {xfer: {secret: c2VjcmV0IG9mIHRoZSB0ZXN0IHRoYXQgaXMgbG9uZw==}}}\nzones: {example.org: {primaries: [{address: %q, key: xfer}]}}\n", port, primary))
		},
		"nsd": func(t *testing.T, dir string, port int, primary netip.AddrPort) {
			peer(t, need.Tool(t, "nsd"), dir, "-d", "-c", fmt.Sprintf(`server:
	ip-address: 127.0.0.1@%[1]d
	zonesdir: %[2]q
	pidfile: ""
	zonelistfile: "%[2]s/zone.list"
	xfrdfile: "%[2]s/xfrd.state"
	xfrdir: %[2]q
	database: ""
	username: ""
	server-count: 1
	xfrd-reload-timeout: 0
remote-control:
	control-enable: no
key:
	name: xfer
	algorithm: hmac-sha256
	secret: c2VjcmV0IG9mIHRoZSB0ZXN0IHRoYXQgaXMgbG9uZw==
zone:
	name: example.org
	zonefile: zone.txt
	request-xfr: %[3]s@%[4]d xfer
	allow-notify: 127.0.0.1 xfer
	min-refresh-time: 1
	min-retry-time: 1
`, port, dir, primary.Addr(), primary.Port()))
		},
		"named": func(t *testing.T, dir string, port int, primary netip.AddrPort) {
			peer(t, need.Tool(t, "named"), dir, "-g", "-n", "1", "-c", fmt.Sprintf(`key xfer { algorithm hmac-sha256; secret "c2VjcmV0IG9mIHRoZSB0ZXN0IHRoYXQgaXMgbG9uZw=="; };
controls { };
options { directory %[2]q; listen-on port %[1]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; pid-file none; session-keyfile none; dnssec-validation no; };
zone "example.org" { type secondary; primaries { %[3]s port %[4]d key xfer; }; file "zone.bin"; allow-notify { key xfer; }; min-retry-time 1; };
`, port, dir, primary.Addr(), primary.Port()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			backend := newOrigin(t, "a", nil)
			port := freePort(t)
			first := start(t, fmt.Sprintf(steeredPrimary, backend.addr(), port))
			run(t, t.TempDir(), port, first.Addr("dns", 0))
			ask := func(port uint16, name, kind string) string {
				out, _ := exec.CommandContext(t.Context(), need.Tool(t, "dig"), "@127.0.0.1", "-p", fmt.Sprint(port), "+short", "+tries=1", "+time=1", name, kind).Output()
				return strings.TrimSpace(string(out))
			}
			primary, secondary := first.Addr("dns", 0).Port(), uint16(port)
			answers := func(at uint16, addr string) func() bool {
				return func() bool { return ask(at, "www.example.org", "A") == addr }
			}
			waitFor(t, "the zone at the secondary", answers(secondary, "192.0.2.1"))
			backend.kill()
			waitFor(t, "the failover of the primary", answers(primary, "192.0.2.2"))
			waitFor(t, "the failover of the secondary", answers(secondary, "192.0.2.2"))
			waitFor(t, "the same serial", func() bool {
				return ask(primary, "example.org", "SOA") == ask(secondary, "example.org", "SOA")
			})
		})
	}
}

// peer runs another name server with the configuration that ends args, and ends it with the test.
func peer(t *testing.T, tool, dir string, args ...string) {
	t.Helper()
	if err := os.Chmod(dir, 0o777); err != nil { // servers drop their rights
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "server.conf")
	if err := os.WriteFile(conf, []byte(args[len(args)-1]), 0o644); err != nil {
		t.Fatal(err)
	}
	args[len(args)-1] = conf
	var out bytes.Buffer
	cmd := exec.Command(tool, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s says:\n%s", tool, out.String())
		}
	})
}

const updatedZone = `
version: 1
edge: {name: ns1}
log: {access: off}
state_dir: %s
listeners: {dns: ["127.0.0.1:0"], dot: ["127.0.0.1:0"], doh: ["127.0.0.1:0"], doq: ["127.0.0.1:0"], metrics: ["127.0.0.1:0"]}
dns:
  nsid: one
  query_log: {to: %s, format: route53}
  keys: {acme: {secret: c2VjcmV0IG9mIHRoZSB0ZXN0IHRoYXQgaXMgbG9uZw==}}
zones:
  example.org:
    nameservers: [ns1.example.net]
    update: {keys: [acme], names: ["_acme-challenge.*"], types: [TXT]}
    records: [{name: www, type: A, values: [192.0.2.1]}]
`

// nsupdate changes a zone of the configuration: what is granted is answered at once, over every transport, and after a restart.
func TestUpdatesAreServedAndSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "queries.log")
	text := fmt.Sprintf(updatedZone, filepath.Join(dir, "state"), log)
	n := start(t, text)
	update := func(line string) string {
		c := exec.CommandContext(t.Context(), need.Tool(t, "nsupdate"), "-y", "hmac-sha256:acme:c2VjcmV0IG9mIHRoZSB0ZXN0IHRoYXQgaXMgbG9uZw==")
		c.Stdin = strings.NewReader(fmt.Sprintf("server 127.0.0.1 %d\nzone example.org\nupdate %s\nsend\n", n.Addr("dns", 0).Port(), line))
		out, _ := c.CombinedOutput()
		return string(out)
	}
	if out := update(`add _acme-challenge.www.example.org 60 TXT "token"`); out != "" {
		t.Fatalf("nsupdate: %s", out)
	}
	if out := update("add other.example.org 60 A 192.0.2.9"); !strings.Contains(out, "REFUSED") {
		t.Errorf("what is not granted: %s", out)
	}
	question := []string{"_acme-challenge.www.example.org", "TXT", "+short"}
	if got := digs(t, n, "dns", question...); got != `"token"` {
		t.Errorf("after the update: %s", got)
	}
	if got := digs(t, n, "dns", "www.example.org", "+nsid"); !strings.Contains(got, `("one")`) || !strings.Contains(got, "192.0.2.1") {
		t.Errorf("what the file says: %s", got)
	}
	kdig := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), need.Tool(t, "kdig"), append(append([]string{"@127.0.0.1"}, args...), question...)...).CombinedOutput()
		if err != nil {
			t.Errorf("kdig %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	for kind, flag := range map[string]string{"dot": "+tls", "doh": "+https"} {
		if got := kdig("-p", fmt.Sprint(n.Addr(kind, 0).Port()), flag); got != `"token"` {
			t.Errorf("%s: %s", kind, got)
		}
	}
	if !n.Addr("doq", 0).IsValid() {
		t.Error("nothing listens for DoQ")
	}
	n.stop()
	lines, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(lines), "www.example.org A NOERROR") {
		t.Errorf("query log: %v\n%s", err, lines)
	}
	n = start(t, text)
	if got := digs(t, n, "dns", question...); got != `"token"` {
		t.Errorf("after a restart: %s", got)
	}
}

// The same certificate is for every name: clients of encrypted DNS know their server by its address.
func TestEncryptedDNSHasACertificate(t *testing.T) {
	n := start(t, fmt.Sprintf(updatedZone, t.TempDir(), filepath.Join(t.TempDir(), "queries.log")))
	c := &mdns.Client{Net: "tcp-tls", TLSConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "any.example.net"}}
	m, _, err := c.ExchangeContext(t.Context(), new(mdns.Msg).SetQuestion("www.example.org.", mdns.TypeA), n.Addr("dot", 0).String())
	if err != nil || len(m.Answer) != 1 {
		t.Errorf("%v %v", err, m)
	}
}

// A reload reads changed zone files at once, and not at the next look at them.
func TestAReloadReadsChangedZoneFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(version string) {
		t.Helper()
		text := "@ 300 SOA ns. h. " + version + " 7200 900 1209600 60\n@ 300 NS ns.example.net.\nwww 300 A 192.0.2." + version + "\n"
		if err := os.WriteFile(filepath.Join(dir, "example.org.zone"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("1")
	n := start(t, fmt.Sprintf("version: 1\nedge: {name: ns1}\nlisteners: {dns: [\"127.0.0.1:0\"], metrics: [\"127.0.0.1:0\"]}\ndns: {zone_files: {directory: %q}}\n", dir))
	for _, version := range []string{"2", "3"} {
		write(version)
		if err := n.Reload(); err != nil && !errors.Is(err, edge.ErrUnchanged) { // the look of every two seconds may have come before
			t.Fatal(err)
		}
		reply, _, err := new(mdns.Client).Exchange(new(mdns.Msg).SetQuestion("www.example.org.", mdns.TypeA), n.Addr("dns", 0).String())
		if err != nil || len(reply.Answer) != 1 || reply.Answer[0].(*mdns.A).A.String() != "192.0.2."+version {
			t.Errorf("version %s: %v %v", version, reply, err)
		}
	}
	for name, reload := range map[string]func() error{"all": n.Reload, "one": func() error { return n.ReloadZone("example.org") }} {
		if err := reload(); !errors.Is(err, edge.ErrUnchanged) {
			t.Error(name, err)
		}
	}
}
