package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const coreDNSVersion = "v1.12.4"

// peers are all servers, each with one worker and with nothing logged.
func peers(s settings, dir string) []*server {
	steers := []string{"latency", "weighted"}
	return []*server{
		{name: "meridian", program: s.meridian, options: []string{"version"}, can: steers, write: writeMeridian,
			args: func(*server) []string { return []string{"run", "--config", "meridian.yaml"} }},
		{name: "knot", program: "knotd", options: []string{"-V"}, can: knotModules(steers), write: writeKnot,
			args: func(*server) []string { return []string{"-c", "knot.conf"} }},
		{name: "gdnsd", program: "gdnsd", options: []string{"-V"}, can: steers, write: writeGdnsd,
			args: func(p *server) []string { return []string{"-c", p.dir, "start"} }},
		{name: "nsd", program: "nsd", options: []string{"-v"}, write: writeNSD,
			args: func(p *server) []string { return []string{"-d", "-c", filepath.Join(p.dir, "nsd.conf")} }},
		{name: "bind", program: "named", options: []string{"-v"}, write: writeBIND,
			args: func(p *server) []string { return []string{"-f", "-n", "1", "-c", filepath.Join(p.dir, "named.conf")} }},
		{name: "coredns", program: s.coredns, options: []string{"-version"}, write: writeCoreDNS,
			args:  func(*server) []string { return []string{"-quiet", "-conf", "Corefile"} },
			build: func(ctx context.Context, p *server) error { return buildCoreDNS(ctx, p, filepath.Join(dir, "bin")) }},
	}
}

// knotModules is what Knot can do here: Debian has its geoip module in a package of its own.
func knotModules(steers []string) []string {
	if found, _ := filepath.Glob("/usr/lib/*/knot/modules-*/geoip.so"); len(found) == 0 {
		progress("knot without steered answers: knot-module-geoip is not installed")
		return nil
	}
	return steers
}

func (p *server) file(name, text string) error {
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// withZone copies the small zone and adds lines to it.
func (p *server) withZone(name string, d *dataset, lines string) error {
	zone, err := os.ReadFile(d.small)
	if err != nil {
		return err
	}
	return p.file(name, string(zone)+lines)
}

// inlineRecords is how many records our configuration file holds: it may have 16 MiB.
const inlineRecords = 200_000

// writeMeridian has the large zone in a zone file where the binary takes one, and else in the configuration, where a million records do
// not fit.
func writeMeridian(p *server, d *dataset) error {
	if err := p.configure(fmt.Sprintf("    file: %s\n", d.large)); err != nil {
		return err
	}
	out, err := exec.Command(p.program, "validate", filepath.Join(p.dir, "meridian.yaml")).CombinedOutput()
	if err == nil {
		return nil
	}
	if !bytes.Contains(out, []byte("file")) {
		return fmt.Errorf("validate: %w\n%s", err, out)
	}
	records := d.names
	if len(records) > inlineRecords {
		progress("meridian without the case million: this binary takes no zone files; -records %d fit in its configuration", inlineRecords)
		p.cannot, records = "million", nil
	}
	var b strings.Builder
	b.WriteString("    nameservers: [ns1.large.example]\n    records:\n      - {name: ns1, type: A, values: [192.0.2.1]}\n")
	for i, n := range records {
		fmt.Fprintf(&b, "      - {name: %s, type: A, ttl: 5m, values: [%s]}\n", n, hostAddress(i))
	}
	return p.configure(b.String())
}

// configure writes our configuration, with the large zone as given.
func (p *server) configure(large string) error {
	return writeFile(filepath.Join(p.dir, "meridian.yaml"), func(w *bufio.Writer) {
		fmt.Fprintf(w, "version: 1\nedge: {name: bench, region: eu}\nstate_dir: %s/state\nregions:\n", p.dir)
		for _, r := range regions {
			fmt.Fprintf(w, "  %s: {lat: %v, lon: %v}\n", r.name, r.lat, r.lon)
		}
		fmt.Fprintf(w, "listeners:\n  dns: [\"127.0.0.1:%s\"]\nzones:\n  large.example:\n%s", p.port, large)
		fmt.Fprintf(w, "  bench.example:\n    nameservers: [ns1.bench.example]\n    records:\n      - {name: ns1, type: A, values: [192.0.2.1]}\n")
		for i := range hosts {
			fmt.Fprintf(w, "      - {name: h%d, type: A, ttl: 5m, values: [%s]}\n", i, hostAddress(i))
		}
		latency := "      - name: l%[1]d\n        type: A\n        ttl: 5m\n        policy: latency\n        answers:\n"
		for _, r := range regions {
			latency += fmt.Sprintf("          - {id: %s, region: %s, values: [%s]}\n", r.name, r.name, r.answer)
		}
		_, _ = w.WriteString(each(latency)) // Flush reports what went wrong
		_, _ = w.WriteString(each("      - name: w%[1]d\n        type: A\n        ttl: 5m\n        policy: weighted\n        answers:\n" +
			"          - {id: a, weight: 10, values: [192.0.2.11]}\n          - {id: b, weight: 90, values: [192.0.2.12]}\n"))
	})
}

func writeKnot(p *server, d *dataset) error {
	subnets, weights := each("l%[1]d.bench.example:\n"+knotSubnets()), each("w%[1]d.bench.example:\n"+
		"  - weight: 10\n    A: 192.0.2.11\n  - weight: 90\n    A: 192.0.2.12\n")
	modules, use := "", ""
	if len(p.can) > 0 {
		modules = fmt.Sprintf(`mod-geoip:
  - id: latency
    config-file: %[1]s/latency.conf
    ttl: 300
    mode: subnet
  - id: weighted
    config-file: %[1]s/weighted.conf
    ttl: 300
    mode: weighted
`, p.dir)
		use = "    module: [mod-geoip/latency, mod-geoip/weighted]\n"
	}
	conf := fmt.Sprintf(`server:
    rundir: %[1]s
    listen: 127.0.0.1@%[2]s
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    edns-client-subnet: on
log:
  - target: stderr
    any: error
database:
    storage: %[1]s
%[4]stemplate:
  - id: default
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
    semantic-checks: off
zone:
  - domain: bench.example
    file: %[1]s/bench.example
%[5]s  - domain: large.example
    file: %[3]s
`, p.dir, p.port, d.large, modules, use)
	fallback := each("l%[1]d A " + regions[0].answer + "\nw%[1]d A 192.0.2.12\n")
	return firstError(p.file("latency.conf", subnets), p.file("weighted.conf", weights), p.file("knot.conf", conf),
		p.withZone("bench.example", d, fallback))
}

func knotSubnets() string {
	var b strings.Builder
	for _, r := range regions {
		fmt.Fprintf(&b, "  - net: %s\n    A: %s\n", r.network, r.answer)
	}
	return b.String()
}

func writeGdnsd(p *server, d *dataset) error {
	var nets, answers strings.Builder
	for _, r := range regions {
		fmt.Fprintf(&nets, "      %s => [%s, eu, us, ap]\n", r.network, r.name)
		fmt.Fprintf(&answers, " %s => %s,", r.name, r.answer)
	}
	conf := fmt.Sprintf(`options => { listen => 127.0.0.1:%[2]s, run_dir => %[1]s/run, state_dir => %[1]s/state, udp_threads => 1, tcp_threads => 1 }
plugins => {
  weighted => { w => { multi => false, a => [192.0.2.11, 10], b => [192.0.2.12, 90] } }
  geoip => {
    maps => { m => { datacenters => [eu, us, ap], nets => {
%[3]s    } } }
    resources => { l => { map => m, dcmap => {%[4]s } } }
  }
}
`, p.dir, p.port, nets.String(), strings.TrimSuffix(answers.String(), ","))
	for _, sub := range []string{"run", "state"} {
		if err := os.MkdirAll(filepath.Join(p.dir, sub), 0o755); err != nil {
			return err
		}
	}
	large, err := os.ReadFile(d.large)
	if err != nil {
		return err
	}
	return firstError(p.file("config", conf), p.file("zones/large.example", string(large)),
		p.withZone("zones/bench.example", d, each("l%[1]d 300 DYNA geoip!l\nw%[1]d 300 DYNA weighted!w\n")))
}

func writeNSD(p *server, d *dataset) error {
	return p.file("nsd.conf", fmt.Sprintf(`server:
    ip-address: 127.0.0.1@%[2]s
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "%[1]s"
    database: ""
    pidfile: "%[1]s/nsd.pid"
    xfrdfile: "%[1]s/xfrd.state"
    xfrdir: "%[1]s"
    zonelistfile: "%[1]s/zone.list"
    minimal-responses: yes
    rrl-ratelimit: 0
    refuse-any: yes
remote-control:
    control-enable: no
zone:
    name: bench.example
    zonefile: %[3]s
zone:
    name: large.example
    zonefile: %[4]s
`, p.dir, p.port, d.small, d.large))
}

func writeBIND(p *server, d *dataset) error {
	return p.file("named.conf", fmt.Sprintf(`options {
    directory "%[1]s";
    pid-file "%[1]s/named.pid";
    session-keyfile "%[1]s/session.key";
    listen-on port %[2]s { 127.0.0.1; };
    listen-on-v6 { none; };
    recursion no;
    dnssec-validation no;
    minimal-responses yes;
    querylog no;
    notify no;
};
controls { };
logging { category default { null; }; };
zone "bench.example" { type primary; file "%[3]s"; };
zone "large.example" { type primary; file "%[4]s"; };
`, p.dir, p.port, d.small, d.large))
}

func writeCoreDNS(p *server, d *dataset) error {
	return p.file("Corefile", fmt.Sprintf(`bench.example:%[1]s {
    bind 127.0.0.1
    file %[2]s
}
large.example:%[1]s {
    bind 127.0.0.1
    file %[3]s
}
`, p.port, d.small, d.large))
}

// buildCoreDNS puts a CoreDNS into a folder of this run: Debian has none.
func buildCoreDNS(ctx context.Context, p *server, bin string) error {
	progress("building CoreDNS %s; with -coredns PATH a ready one is used", coreDNSVersion)
	cmd := exec.CommandContext(ctx, "go", "install", "github.com/coredns/coredns@"+coreDNSVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go install coredns: %w\n%s", err, out)
	}
	p.program = filepath.Join(bin, "coredns")
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
