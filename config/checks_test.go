package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
)

// check parses one check written in flow style.
func check(t *testing.T, src string) config.Check {
	t.Helper()
	cfg, _, err := config.Parse("meridian.yaml", []byte("version: 1\nchecks:\n  c: {"+src+"}\n"), config.Env{})
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return cfg.Checks[0]
}

func TestPayloadsAreTextWithEscapesOrHexadecimal(t *testing.T) {
	f := func(written, want string) {
		t.Helper()
		if got := check(t, "type: udp, send: "+written).Send; got != want {
			t.Errorf("%s is %q, want %q", written, got, want)
		}
	}
	f(`'PING\r\n'`, "PING\r\n")
	f(`"PING\r\n"`, "PING\r\n") // YAML's own escapes
	f(`'a\x00\xff\101é\u00e9\\'`, "a\x00\xffAéé\\")
	f(`'say "hi" \"there\" \'''`, `say "hi" "there" '`)
	f(`hex:00 01ff`, "\x00\x01\xff")
	f(`'\x68ex:00'`, "hex:00")
	f(`42`, "42")
	f("'"+strings.Repeat("x", 1024)+"'", strings.Repeat("x", 1024))
}

func TestPresetRoute53(t *testing.T) {
	f := func(src string, interval, timeout time.Duration) {
		t.Helper()
		k := check(t, src)
		if k.Preset != "route53" || k.Interval != interval || k.Timeout != timeout || k.Rise != 3 || k.Fall != 3 || k.Verify {
			t.Errorf("%s is %+v", src, k)
		}
	}
	f("type: http, preset: route53", 30*time.Second, 8*time.Second)
	f("type: https, preset: route53, interval: 10s", 10*time.Second, 8*time.Second)
	f("type: tcp, preset: route53", 30*time.Second, 10*time.Second)
	f("type: tcp, preset: route53, interval: 10s", 10*time.Second, 9*time.Second)
}

func TestDefaultsOfEachTypeOfCheck(t *testing.T) {
	f := func(src string, want config.Check) {
		t.Helper()
		want.Name = "c"
		if want.Type != "manual" {
			want.Timeout = 2 * time.Second
		}
		want.Interval, want.Rise, want.Fall, want.MaxFlip = 10*time.Second, 2, 3, 50
		if got := check(t, src); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is\n%+v, want\n%+v", src, got, want)
		}
	}
	good := []config.StatusRange{{From: 200, To: 399}}
	f("type: http", config.Check{Type: "http", Path: "/", Method: "GET", Expect: good})
	f("type: h2", config.Check{Type: "h2", Path: "/", Method: "GET", Expect: good, TLS: true})
	f("type: tls", config.Check{Type: "tls"})
	f("type: grpc", config.Check{Type: "grpc"})
	f("type: agent, port: 9777", config.Check{Type: "agent", Port: 9777})
	f("type: dns, query: {name: WWW.example.org}", config.Check{Type: "dns", Query: config.CheckQuery{Name: "www.example.org.", Type: "A", Rcode: "NOERROR"}})
	f("type: dns, query: {name: example.org, type: mx, answer: 10 mail.example.org}", config.Check{Type: "dns",
		Query: config.CheckQuery{Name: "example.org.", Type: "MX", Rcode: "NOERROR", Answer: "10 mail.example.org."}})
	f("type: manual", config.Check{Type: "manual"})
}

func TestManualCheckNeedsNoTarget(t *testing.T) {
	_, _, err := config.Parse("meridian.yaml", []byte(`version: 1
checks:
  m: {type: manual}
  k: {type: calculated, of: [m], at_least: 1}
`), config.Env{})
	if err != nil {
		t.Error(err)
	}
}
