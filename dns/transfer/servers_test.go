package transfer_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transfer"
	"github.com/meridian-edge/meridian/internal/need"
)

type setup struct {
	dir     string
	port    uint16
	peer    netip.AddrPort
	primary bool // it has the zone; else it is the secondary
}

func (f *setup) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func bind(t *testing.T, f *setup) []string {
	role := fmt.Sprintf(`type secondary; primaries { %s port %d key "key.example.org."; }; file "zone.bin"; allow-notify { key "key.example.org."; };
		min-refresh-time 1; min-retry-time 1;`, f.peer.Addr(), f.peer.Port())
	if f.primary {
		role = fmt.Sprintf(`type primary; file "zone.txt"; allow-update { key "key.example.org."; }; also-notify { %s port %d key "key.example.org."; }; notify explicit; notify-delay 0;`,
			f.peer.Addr(), f.peer.Port())
	}
	conf := f.write(t, "named.conf", fmt.Sprintf(`
key "key.example.org." { algorithm hmac-sha256; secret "%s"; };
controls { };
options { directory "%s"; listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; pid-file none; session-keyfile none;
	allow-transfer { key "key.example.org."; }; dnssec-validation no; notify-rate 1000; startup-notify-rate 1000; };
zone "example.org" { %s };
`, keyBase64, f.dir, f.port, role))
	return []string{"-g", "-n", "1", "-c", conf}
}

func nsd(t *testing.T, f *setup) []string {
	role := fmt.Sprintf("	request-xfr: %s@%d key.example.org.\n	allow-notify: 127.0.0.1 key.example.org.\n	min-refresh-time: 1\n	min-retry-time: 1\n", f.peer.Addr(), f.peer.Port())
	if f.primary {
		role = fmt.Sprintf("	provide-xfr: 127.0.0.1 key.example.org.\n	notify: %s@%d key.example.org.\n", f.peer.Addr(), f.peer.Port())
	}
	conf := f.write(t, "nsd.conf", fmt.Sprintf(`server:
	ip-address: 127.0.0.1@%[1]d
	zonesdir: "%[2]s"
	pidfile: ""
	zonelistfile: "%[2]s/zone.list"
	xfrdfile: "%[2]s/xfrd.state"
	xfrdir: "%[2]s"
	database: ""
	username: ""
	server-count: 1
	xfrd-reload-timeout: 0
remote-control:
	control-enable: no
key:
	name: key.example.org.
	algorithm: hmac-sha256
	secret: "%[3]s"
zone:
	name: example.org
	zonefile: zone.txt
%[4]s`, f.port, f.dir, keyBase64, role))
	return []string{"-d", "-c", conf}
}

func knot(t *testing.T, f *setup) []string {
	role := "    master: meridian\n    acl: notify\n    refresh-min-interval: 2\n    retry-min-interval: 2\n    zonefile-sync: -1\n    zonefile-load: none\n    journal-content: all\n"
	if f.primary {
		role = "    acl: all\n    notify: meridian\n    file: zone.txt\n    zonefile-sync: -1\n    zonefile-load: difference\n    journal-content: all\n"
	}
	conf := f.write(t, "knot.conf", fmt.Sprintf(`server:
    rundir: %[1]s
    listen: 127.0.0.1@%[2]d
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: %[1]s
    journal-db-max-size: 16M
key:
  - id: key.example.org.
    algorithm: hmac-sha256
    secret: %[3]s
remote:
  - id: meridian
    address: %[4]s@%[5]d
    key: key.example.org.
acl:
  - id: notify
    key: key.example.org.
    action: notify
  - id: all
    key: key.example.org.
    action: [transfer, update]
zone:
  - domain: example.org
    storage: %[1]s
%[6]s`, f.dir, f.port, keyBase64, f.peer.Addr(), f.peer.Port(), role))
	return []string{"-c", conf}
}

// run starts a server and ends it with the test.
func run(t *testing.T, tool string, args []string) {
	t.Helper()
	cmd := exec.Command(tool, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
		if t.Failed() {
			t.Logf("%s says:\n%s", tool, out.String())
		}
	})
}

// freePort finds a port that nobody has, for TCP and UDP. It lies below those the kernel gives to clients, so that nobody gets it by chance before
// the server that it is for has it.
func freePort(t *testing.T) uint16 {
	t.Helper()
	for range 200 {
		port := 10_000 + rand.IntN(20_000)
		ln, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		ln.Close()
		if err == nil {
			conn.Close()
			return uint16(port)
		}
	}
	t.Fatal("no port is free for TCP and UDP")
	return 0
}

// lookup asks a server for a TXT record, "" when there is none yet.
func lookup(t *testing.T, port uint16, name string) string {
	m := new(mdns.Msg)
	m.SetQuestion(name, mdns.TypeTXT)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r, err := mdns.ExchangeContext(ctx, m, fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil || len(r.Answer) == 0 {
		return ""
	}
	return strings.Join(r.Answer[0].(*mdns.TXT).Txt, "")
}

var servers = []struct {
	tool string
	conf func(t *testing.T, f *setup) []string
}{{"named", bind}, {"nsd", nsd}, {"knotd", knot}}

// TestForeignSecondaries has BIND, NSD and Knot follow a zone of ours: AXFR, then NOTIFY and IXFR, all of it signed.
func TestForeignSecondaries(t *testing.T) {
	for _, c := range servers {
		t.Run(c.tool, func(t *testing.T) {
			t.Parallel()
			tool := need.Tool(t, c.tool)
			port := freePort(t)
			z := transfer.Zone{Name: "example.org.", Transfer: signed, Notify: []transfer.Peer{peer(fmt.Sprintf("127.0.0.1:%d", port))}}
			var many []string
			for i := range 2000 {
				many = append(many, fmt.Sprintf("h%d.example.org. 60 IN TXT %q", i, strings.Repeat("x", 20)))
			}
			z.Base = build(t, 1, append(many, "a.example.org. 60 IN TXT one")...)
			logs := &record{}
			s := open(t, transfer.Options{Log: logs.logger(t)})
			apply(t, s, z)
			f := &setup{dir: folder(t), port: port, peer: listen(t, s)}
			run(t, tool, c.conf(t, f))
			until(t, "axfr", func() bool { return lookup(t, port, "a.example.org.") == "one" })
			for i := 2; i < 5; i++ {
				want := fmt.Sprint("version ", i)
				z.Base = build(t, i, append(many, fmt.Sprintf("a.example.org. 60 IN TXT %q", want))...)
				apply(t, s, z)
				until(t, want, func() bool { return lookup(t, port, "a.example.org.") == want })
			}
			until(t, "one transfer by IXFR", func() bool { return logs.has("zone transfer out ended", "kind=ixfr") })
		})
	}
}

// TestForeignPrimaries has us follow BIND, NSD and Knot; BIND and Knot change by signed update, which gives an IXFR.
func TestForeignPrimaries(t *testing.T) {
	for _, c := range servers {
		t.Run(c.tool, func(t *testing.T) {
			t.Parallel()
			tool := need.Tool(t, c.tool)
			logs := &record{}
			port := freePort(t)
			s := open(t, transfer.Options{Dir: t.TempDir(), Log: logs.logger(t)})
			f := &setup{dir: folder(t), port: port, peer: listen(t, s), primary: true}
			f.write(t, "zone.txt", "$TTL 60\n@ IN SOA ns1.example.org. host.example.org. 1 3600 600 86400 60\n@ IN NS ns1\nns1 IN A 192.0.2.53\na IN TXT one\n"+
				"c IN CAA 0 issue \"ca.example.net\"\nh IN HTTPS 1 . alpn=h2\nu IN TYPE65400 \\# 3 010203\nm IN MX 10 ns1\n")
			run(t, tool, c.conf(t, f))
			until(t, "the primary", func() bool { return lookup(t, port, "a.example.org.") == "one" })
			apply(t, s, transfer.Zone{Name: "example.org.", Primaries: []transfer.Peer{peer(fmt.Sprintf("127.0.0.1:%d", port))}})
			until(t, "axfr", func() bool { return current(s) != nil })
			if got := current(s); got.Serial() != 1 || got.Len() != 8 {
				t.Fatalf("serial %d:\n%s", got.Serial(), text(got))
			}
			if c.tool == "nsd" {
				return // it takes no updates
			}
			update := sign(t, insert(t, "new.example.org. 60 IN TXT two"))
			m := new(mdns.Msg)
			conn, err := mdns.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(30 * time.Second))
			buf := make([]byte, 4096)
			if _, err := conn.Conn.Write(update); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Conn.Read(buf); err != nil || m.Unpack(buf[:n]) != nil || m.Rcode != 0 {
				t.Fatalf("update: %v %v", err, m)
			}
			until(t, "notify and ixfr", func() bool { return strings.Contains(text(current(s)), "new.example.org. 60 IN TXT \"two\"") })
			until(t, "one transfer by IXFR", func() bool { return logs.has("zone transfer in ended", "kind=ixfr") })
		})
	}
}

// TestForeignCatalog has us follow the catalog that Knot makes of its own zones: each of them is fetched from there.
func TestForeignCatalog(t *testing.T) {
	tool := need.Tool(t, "knotd")
	port := freePort(t)
	s := open(t, transfer.Options{Dir: t.TempDir()})
	f := &setup{dir: folder(t), port: port, peer: listen(t, s), primary: true}
	args := knot(t, f)
	conf, err := os.ReadFile(args[1])
	if err != nil {
		t.Fatal(err)
	}
	const member = "    catalog-role: member\n    catalog-zone: catalog.example\n"
	own := string(conf[bytes.LastIndex(conf, []byte("    storage: ")):])
	f.write(t, "knot.conf", string(conf)+member+"  - domain: example.net\n"+own+member+"  - domain: catalog.example\n"+
		"    acl: all\n    notify: meridian\n    catalog-role: generate\n    storage: "+f.dir+"\n")
	f.write(t, "zone.txt", "$TTL 60\n@ SOA ns1.example. host.example. 1 3600 600 86400 60\n@ NS ns1.example.\na TXT one\n")
	run(t, tool, args)
	until(t, "the primary", func() bool { return lookup(t, port, "a.example.net.") == "one" })
	apply(t, s, transfer.Zone{Name: "catalog.example.", Catalog: true, Primaries: []transfer.Peer{peer(fmt.Sprintf("127.0.0.1:%d", port))}})
	for _, name := range []string{"\x07example\x03org\x00", "\x07example\x03net\x00"} {
		until(t, fmt.Sprintf("%q", name), func() bool {
			d := s.Data()[name]
			return d != nil && strings.Contains(text(d), `IN TXT "one"`)
		})
	}
}

// folder is one that servers which drop their rights can use.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestNsupdateAndCertbotChangeAZone drives the two clients that operators have.
func TestNsupdateAndCertbotChangeAZone(t *testing.T) {
	t.Parallel()
	s := updating(t, t.TempDir(), "old.example.org. 60 IN A 192.0.2.9")
	addr := listen(t, s)
	t.Run("nsupdate", func(t *testing.T) {
		tool := need.Tool(t, "nsupdate")
		feed := func(script string) (string, error) {
			cmd := exec.CommandContext(t.Context(), tool, "-v", "-y", "hmac-sha256:key.example.org:"+keyBase64)
			cmd.Stdin = strings.NewReader(fmt.Sprintf("server 127.0.0.1 %d\nzone example.org\n%s\nsend\n", addr.Port(), script))
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		if out, err := feed("prereq nxdomain n.example.org\nupdate add n.example.org 60 A 192.0.2.7\nupdate delete old.example.org A"); err != nil {
			t.Fatal(out)
		}
		if got := text(current(s)); !strings.Contains(got, "n.example.org. 60 IN A 192.0.2.7") || strings.Contains(got, "old.") {
			t.Error(got)
		}
		if out, err := feed("prereq nxdomain n.example.org\nupdate add n.example.org 60 A 192.0.2.8"); err == nil || !strings.Contains(out, "YXDOMAIN") {
			t.Errorf("a prerequisite was not looked at: %s", out)
		}
	})
	t.Run("certbot", func(t *testing.T) {
		python := need.Python(t, "certbot_dns_rfc2136")
		credentials := filepath.Join(t.TempDir(), "credentials.ini")
		if err := os.WriteFile(credentials, fmt.Appendf(nil, "rfc2136_server = 127.0.0.1\nrfc2136_port = %d\nrfc2136_name = key.example.org.\n"+
			"rfc2136_secret = %s\nrfc2136_algorithm = HMAC-SHA256\n", addr.Port(), keyBase64), 0o600); err != nil {
			t.Fatal(err)
		}
		const record = `_acme-challenge.www.example.org. 120 IN TXT `
		for _, step := range []struct {
			call        string
			first, both bool // which challenges are there afterwards
		}{
			{`auth._perform("www.example.org", name, "one")`, true, false},
			{`auth._perform("www.example.org", name, "two")`, true, true}, // for a name and its wildcard there are two at a time
			{`auth._cleanup("www.example.org", name, "two")`, true, false},
			{`auth._cleanup("www.example.org", name, "one")`, false, false},
		} {
			if out, err := exec.CommandContext(t.Context(), python, "-c", certbotPlugin+step.call, credentials).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got := text(current(s))
			if first, second := strings.Contains(got, record+`"one"`), strings.Contains(got, record+`"two"`); first != step.first || second != step.both {
				t.Errorf("after %s:\n%s", step.call, got)
			}
		}
	})
}

// certbotPlugin sets certbot's authenticator up from its credentials file, as "certbot certonly --dns-rfc2136" does before it asks for a
// certificate. What follows is one of the two calls that the program makes of it, before and after a challenge.
const certbotPlugin = `
import sys, types
from certbot_dns_rfc2136._internal.dns_rfc2136 import Authenticator
auth = Authenticator(types.SimpleNamespace(rfc2136_credentials=sys.argv[1], noninteractive_mode=True), "rfc2136")
auth._setup_credentials()
name = "_acme-challenge.www.example.org"
`
