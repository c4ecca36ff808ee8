package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config"
	"go.yaml.in/yaml/v4"
)

// allKeys is a configuration with nearly every key there is, besides those of the examples.
const allKeys = `
version: 1
edge: {name: a, region: eu}
state_dir: state
regions:
  eu: {lat: 1, lon: 2}
  us: {lat: 3, lon: 4}
listeners: {http: ["127.0.0.1:80"], https: ["127.0.0.1:443"], dns: ["127.0.0.1:53"], metrics: ["127.0.0.1:9180"], admin: ["unix:a.sock"]}
cache: {memory: 1GiB, disk: {path: c, size: 10GB}}
geo:
  database: geo.mmdb
  overrides:
    - {cidrs: [10.0.0.0/8, "2001:db8::/32"], country: US, subdivision: CA, lat: 37.3, lon: -121.9}
log: {level: debug, format: json, access: access.log}
limits:
  header_bytes: 16KiB
  header_fields: 50
  target_bytes: 4096
  header_timeout: 5s
  idle_timeout: 30s
  body_bytes: 1GiB
  connections: 1000
  per_client: 10
  drain_timeout: 1m
  dns_tcp_clients: 100
  dns_tcp_per_peer: 4
  dns_tcp_idle: 20s
  dns_tcp_queries: 1000
  origin_conns: 64
  origin_attempts: 2
  retry_percent: 12.5
quorum: {mode: r53, healthy_above: 0.25, min_voters: 5, hold_last: 1m}
trusted_proxies: [10.0.0.0/8, 192.0.2.7]
resolvers: [192.0.2.53, "[2001:db8::53]:5353"]
checks:
  h: {type: https, target: "192.0.2.1:443", host: www.example.org, path: /x, expect: [200, 3xx], interval: 5s, timeout: 1s, rise: 1, fall: 1, inverted: true, verify: true}
  t: {type: tcp, target: "192.0.2.1:80", disabled: true, count: {up: 3, ok: 2, down: 1}, hold_down: {min: 1s, max: 1m, half_life: 1m}}
  k: {type: calculated, of: [h, t, m], at_least: 1}
  m: {type: manual, inverted: true}
  r: {type: http, preset: route53, interval: 10s, method: HEAD, headers: {X-A: "1", Authorization: Bearer x}}
  s: {type: h2, port: 8443, tls: true, verify: true, search: some text}
  p: {type: tcp, send: 'PING\r\n', expect: PONG}
  u: {type: udp, send: hex:00 01, expect: 'hex:ff'}
  l: {type: tls, host: www.example.org, alpn: [h2, http/1.1], min_days: 14, send: x, expect: y}
  g: {type: grpc, tls: on, service: example.v1.Shop, host: shop.example.org, verify: true}
  d: {type: dns, target: "192.0.2.1:53", query: {name: www.example.org, type: MX, rcode: NOERROR, answer: 10 mail.example.org.}}
  a: {type: agent, port: 9777, send: 'state\n'}
pools:
  web:
    policy: failover
    check: h
    passive: {consecutive_5xx: 5, consecutive_gateway: 5, success_rate_deviations: 1.9, success_rate_endpoints: 5, success_rate_requests: 100, interval: 10s, base_ejection: 30s, max_ejection: 5m, max_share: 10}
    endpoints:
      - {address: "192.0.2.1:80", region: eu, weight: 3, role: primary}
      - {address: "backend.example.org:80", region: us, role: secondary, capacity: 10}
    slow_start: 1m
    sticky: {cookie: lb, ttl: 1h, key: some-long-secret}
    panic: 50
    min_healthy: 1
    max_outstanding: 100
    max_vanish: 30
    discover:
      - {dns: "backend.example.org:80", min_interval: 10s, max_interval: 30m, region: eu, weight: 3}
      - {dns: _http._tcp.example.org, type: srv}
      - {file: endpoints.json, interval: 2s}
      - {url: "https://discovery.example.org/web", interval: 1m}
  keyed: {policy: hash, hash: {by: header, name: X-Tenant}, endpoints: [{address: "192.0.2.2:80"}]}
distributions:
  site:
    domains: [example.org, "*.example.org"]
    certificate: {cert: c.pem, key: k.pem}
    origins:
      pool: {pool: web, host_header: www.example.org, connect_timeout: 2s, read_timeout: 3s}
      url: {url: "https://origin.example.org:8443", tls_server_name: other.example.org, skip_verify: true}
    behaviors:
      - path: /a
        origin: pool
        methods: [GET, POST]
        cache: {profile: cloudfront, min_ttl: 1s, default_ttl: 1m, max_ttl: 1h, stale_if_error: 1d, stale_while_revalidate: 5s, key: {query: none, headers: [Accept]}}
        compress: on
        redirect_to_https: true
      - {path: "*", origin: url, methods: all, cache: off}
zones:
  example.org:
    nameservers: [ns1.example.net]
    ttl: 1h
    negative_ttl: 30s
    hostmaster: dns@example.org
    records:
      - {name: www, type: A, values: [192.0.2.1, 192.0.2.2]}
      - {name: "@", type: A, alias: {record: www}, evaluate_target_health: true}
      - {name: generic, type: TYPE65280, values: ['\# 4 c0000201']}
      - {name: geo, type: A, ttl: 30s, policy: geolocation, answers: [
          {id: ca, country: US, subdivision: CA, values: [192.0.2.1], check: h},
          {id: eu, continent: EU, alias: {record: www}, evaluate_target_health: false},
          {id: rest, default: true, values: [192.0.2.1]}]}
      - {name: near, type: A, policy: geoproximity, answers: [
          {id: a, region: eu, bias: -5, values: [192.0.2.1]}, {id: b, lat: 1, lon: 2, values: [192.0.2.1]}]}
      - {name: cidr, type: A, policy: cidr, answers: [
          {id: a, cidrs: [192.0.2.0/24], values: [192.0.2.1]}, {id: b, default: true, values: [192.0.2.1]}]}
      - {name: weighted, type: A, policy: weighted, answers: [{id: a, weight: 0, values: [192.0.2.1]}, {id: b, weight: 9, alias: {record: www}}]}
      - {name: failover, type: A, policy: failover, answers: [
          {id: a, role: primary, values: [192.0.2.1], check: h}, {id: b, role: secondary, values: [192.0.2.1]}]}
      - {name: many, type: A, policy: multivalue, answers: [{id: a, values: [192.0.2.1], check: k}]}
accelerators:
  tcp:
    affinity: source-ip
    listeners: [{protocol: tcp, address: 127.0.0.1, ports: ["7000-7001", 8000]}]
    groups:
      - {region: eu, dial: 50, check: h, endpoints: [{address: 192.0.2.1, weight: 5, ports: {7000: 9000}}]}
      - {region: us, check: {type: tcp}, endpoints: [{address: 192.0.2.2}]}
`

// dnsKeys is likewise, of what is about the DNS server.
const dnsKeys = `
version: 1
edge: {name: a, addresses: [192.0.2.80, "2001:db8::80"]}
listeners: {dns: ["127.0.0.1:53"], dot: ["127.0.0.1:853"], doh: ["127.0.0.1:8443"], doq: ["127.0.0.1:853"]}
dns:
  certificate: {cert: dns.pem, key: dns.key}
  nsid: fra1
  chaos: {version: none of your business, hostname: fra1}
  proxy_protocol: [10.0.0.0/8]
  rate_limit:
    responses_per_second: 100
    errors_per_second: 10
    nxdomains_per_second: 20
    window: 5s
    slip: 3
    ipv4_prefix: 25
    ipv6_prefix: 48
    exempt: [192.0.2.0/24]
    log_only: true
    table_size: 4096
  cookies:
    secrets: [e5e973e5a6b2a43f48e7dc849e37bfcf, 00112233445566778899aabbccddeeff]
    require: true
    max_plain_response: 1000
  query_log: {to: queries.log, format: route53, sample: 0.1}
  dnstap: {socket: /run/tap.sock, identity: fra1, queries: off, responses: on}
  keys:
    xfer.example.org: {algorithm: hmac-sha512, secret: dGhpcyBpcyBhIHNlY3JldCBmb3IgdGhlIHRlc3RzIG9ubHkgYW5kIHZlcnkgbG9uZyBpbmRlZWQsIHlvdSBzZWU=}
    acme:
      secret: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
  zone_files: {directory: zones.d, pattern: "db.*", notify: [{address: 192.0.2.53, key: acme}], transfer: {to: [192.0.2.0/24], keys: [acme]}, journal: 2MiB}
pools:
  web: {endpoints: [{address: "192.0.2.1:80"}]}
distributions:
  site: {domains: [example.org], origins: {o: {pool: web}}}
zones:
  example.org:
    nameservers: [ns1.example.net]
    records:
      - {name: cdn, type: HTTPS, alias: {distribution: site}}
      - {name: pool, type: AAAA, ttl: 10s, alias: {pool: web}}
      - {name: game, type: A, alias: {accelerator: tcp}}
      - {name: away, type: A, alias: {host: www.example.net}}
      - {name: both, type: A, together: true, policy: weighted, answers: [{id: a, weight: 1, values: [192.0.2.1]}, {id: b, weight: 1, alias: {host: b.example.net}}]}
      - {name: both, type: AAAA, together: true, policy: weighted, answers: [{id: a, weight: 1, values: ["2001:db8::1"]}, {id: b, weight: 1, alias: {pool: web}}]}
      - {name: moved, type: DNAME, values: [example.net]}
  file.example:
    file: zones/file.example.zone
    notify: [192.0.2.53, {address: "192.0.2.54:5353", key: xfer.example.org.}]
    transfer: {to: [192.0.2.0/24], keys: [XFER.example.org]}
    update: {keys: [acme], from: [10.0.0.0/8], names: [_acme-challenge, "*.dyn"], types: [TXT, A]}
    journal: 64KiB
  catalog.example:
    primaries: [{address: "2001:db8::53", key: xfer.example.org}]
    catalog: true
    refresh: {min: 1m, max: 1d}
accelerators:
  tcp:
    listeners: [{protocol: tcp, address: 127.0.0.1, ports: [7000]}]
    groups: [{region: eu, endpoints: [{address: 192.0.2.1}]}]
regions: {eu: {lat: 1, lon: 2}}
`

// bases are the valid configurations that the tests below spoil.
func bases(t testing.TB) map[string]string {
	return map[string]string{
		"edge": string(readExample(t, "edge.yaml")), "all": allKeys, "dns": dnsKeys,
	}
}

// mutate calls f with the source once for each node of the document, after change has spoilt that node, if it returns true.
func mutate(t *testing.T, src string, change func(parent, n *yaml.Node, isKey bool) bool, f func(spoilt string, n *yaml.Node)) {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Load([]byte(src), &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(parent, n *yaml.Node, isKey bool)
	walk = func(parent, n *yaml.Node, isKey bool) {
		saved := *n
		if change(parent, n, isKey) {
			out, err := yaml.Dump(&doc)
			if err != nil {
				t.Fatal(err)
			}
			f(string(out), &saved)
		}
		*n = saved
		for i, child := range n.Content {
			walk(n, child, n.Kind == yaml.MappingNode && i%2 == 0)
		}
	}
	walk(nil, doc.Content[0], false)
}

func parse(src string, variables map[string]string) (*config.Config, config.Warnings, config.Errors) {
	cfg, warnings, err := config.Parse("meridian.yaml", []byte(src), config.Env{
		Dir:    "/etc/meridian",
		Lookup: func(name string) (string, bool) { v, ok := variables[name]; return v, ok },
	})
	var list config.Errors
	errors.As(err, &list)
	return cfg, warnings, list
}

func TestAllKeysAreAccepted(t *testing.T) {
	for name, src := range bases(t) {
		if _, _, mistakes := parse(src, nil); mistakes != nil {
			t.Errorf("%s: %v", name, mistakes)
		}
	}
}

// TestMisspeltKeyIsOneMistake spoils every key of the schema in turn: what the key held must not be missed as well.
func TestMisspeltKeyIsOneMistake(t *testing.T) {
	for name, src := range bases(t) {
		tried := 0
		mutate(t, src, func(_, n *yaml.Node, isKey bool) bool {
			if !isKey {
				return false
			}
			n.Value += "x"
			return true
		}, func(spoilt string, n *yaml.Node) {
			_, _, mistakes := parse(spoilt, nil)
			unknown := 0
			tried++
			for _, m := range mistakes {
				if m.Message == "unknown key" {
					unknown++
				}
			}
			// A name that the user chose may be any word; renaming it leaves references behind.
			if unknown > 0 && len(mistakes) != 1 {
				t.Errorf("%s: key %s in line %d misspelt: %d mistakes\n%v", name, n.Value, n.Line, len(mistakes), mistakes)
			}
		})
		if tried < 100 {
			t.Errorf("%s: only %d keys were tried", name, tried)
		}
	}
}

// TestWrongValueIsOneMistake puts a list of a list, which is right nowhere, in the place of every value in turn.
func TestWrongValueIsOneMistake(t *testing.T) {
	for name, src := range bases(t) {
		mutate(t, src, func(parent, n *yaml.Node, isKey bool) bool {
			if isKey || parent == nil {
				return false
			}
			inner := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle, Content: []*yaml.Node{
				{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle},
			}}
			*n = *inner
			return true
		}, func(spoilt string, n *yaml.Node) {
			if _, _, mistakes := parse(spoilt, nil); len(mistakes) != 1 {
				t.Errorf("%s: value %q in line %d replaced: %d mistakes\n%v", name, n.Value, n.Line, len(mistakes), mistakes)
			}
		})
	}
}

// TestSecretsNeverAppear puts a reference in the place of every value in turn and looks for what it stands for in whatever is
// reported.
func TestSecretsNeverAppear(t *testing.T) {
	secrets := []string{"hunter2 hunter2", "192.0.2.201:70123", "70123s", "hunter2.example.org."}
	seen := 0
	for name, src := range bases(t) {
		mutate(t, src, func(_, n *yaml.Node, isKey bool) bool {
			if isKey || n.Kind != yaml.ScalarNode {
				return false
			}
			*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: "${SECRET}"}
			return true
		}, func(spoilt string, n *yaml.Node) {
			for _, secret := range secrets {
				_, warnings, mistakes := parse(spoilt, map[string]string{"SECRET": secret})
				for _, m := range append(mistakes, warnings...) {
					seen++
					if text := fmt.Sprintf("%+v %s", *m, m.Detail()); strings.Contains(text, secret) {
						t.Errorf("%s, line %d: %q shows in\n%s", name, n.Line, secret, text)
					}
				}
			}
		})
	}
	if seen < 1000 {
		t.Errorf("only %d mistakes were looked at", seen)
	}
}

// TestSecretsThatAreWrittenOutNeverAppear misspells every key and spoils every value around them. A key of a secret that is
// misspelt beyond recognition is beyond help.
func TestSecretsThatAreWrittenOutNeverAppear(t *testing.T) {
	const tsig, cookie = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "e5e973e5a6b2a43f48e7dc849e37bfcf"
	if !strings.Contains(dnsKeys, tsig) || !strings.Contains(dnsKeys, cookie) {
		t.Fatal("the secrets are not where they were")
	}
	seen := 0
	look := func(spoilt string, n *yaml.Node) {
		_, warnings, mistakes := parse(spoilt, nil)
		for _, m := range append(mistakes, warnings...) {
			seen++
			if text := fmt.Sprintf("%+v %s", *m, m.Detail()); strings.Contains(text, tsig) || strings.Contains(text, cookie) {
				t.Errorf("line %d: a secret shows in\n%s", n.Line, text)
			}
		}
	}
	oneLine := func(n *yaml.Node) { // as it may be written: every secret is in the line of what is wrong
		for _, c := range n.Content {
			if c.Kind == yaml.MappingNode {
				c.Style = yaml.FlowStyle
			}
		}
	}
	mutate(t, dnsKeys, func(parent, n *yaml.Node, isKey bool) bool {
		if parent != nil {
			oneLine(parent)
		}
		if n.Kind == yaml.ScalarNode {
			n.Value += "x"
		}
		return n.Kind == yaml.ScalarNode || isKey
	}, look)
	if seen < 200 {
		t.Errorf("only %d mistakes were looked at", seen)
	}
}

// TestSecretsInErrorsOfOthers does the same where one substituted value is compared with another.
func TestSecretsInErrorsOfOthers(t *testing.T) {
	for _, src := range []string{
		"zones: {example.org: {nameservers: [ns1.example.net], records: [{name: \"${S}\", type: A, alias: {record: \"${S}\"}}]}}",
		"zones: {example.org: {nameservers: [ns1.example.net], records: [{name: \"${S}\", type: A, values: [192.0.2.1]}, {name: \"${S}\", type: A, values: [192.0.2.1]}]}}",
		"zones: {example.org: {nameservers: [ns1.example.net], records: [{name: \"${S}\", type: A, values: [192.0.2.1]}, {name: a, type: A, alias: {record: hunter}}]}}",
		"distributions: {a: {domains: [\"${S}\", \"${S}\"], origins: {o: {url: \"http://192.0.2.1\"}}}}",
		"pools: {p: {endpoints: [{address: \"${S}:80\"}, {address: \"${S}:80\"}]}}",
		"edge: {region: \"${S}\"}\nregions: {hunter3: {lat: 1, lon: 2}}",
	} {
		_, _, mistakes := parse("version: 1\n"+src, map[string]string{"S": "hunter2"})
		if len(mistakes) == 0 {
			t.Errorf("no mistake in %s", src)
		}
		for _, m := range mistakes {
			if strings.Contains(m.Detail(), "hunter2") || strings.Contains(m.Hint, "hunter3") {
				t.Errorf("%s", m.Detail())
			}
		}
	}
}
