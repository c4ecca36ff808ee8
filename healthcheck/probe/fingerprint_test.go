package probe_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/probe"
)

func fingerprint(c config.Check) string {
	a := probe.New(&c, "192.0.2.1:80")
	return a.Fingerprint()
}

func TestFingerprintsOfEachKind(t *testing.T) {
	f := func(c config.Check, want string) {
		t.Helper()
		if got := fingerprint(c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(config.Check{Type: "tcp"}, "tcp")
	f(config.Check{Type: "tcp", Preset: "route53"}, "tcp") // only more patient
	f(config.Check{Type: "tcp", Send: "AUTH hunter2", Reply: "+OK\r\n"}, `tcp send=#0c813de725e54b29 expect="+OK\r\n"`)
	f(config.Check{Type: "http", Method: "GET"}, "http /")
	f(config.Check{Type: "http", Preset: "route53", Search: "a b"}, `http / search="a b" route53`)
	f(config.Check{Type: "h2", TLS: true, Method: "HEAD"}, "h2 / method=HEAD")
	f(config.Check{Type: "h2"}, "h2 / cleartext")
	f(config.Check{Type: "tls", ALPN: []string{"h2", "http/1.1"}, MinDays: 14}, "tls alpn=h2,http/1.1 min_days=14")
	f(config.Check{Type: "grpc", Service: "shop", TLS: true, Verify: true}, `grpc service="shop" tls verify`)
	f(ask("www.example.org.", "MX", "NOERROR", "10 mail.example.org."), "dns www.example.org. MX answer=10 mail.example.org.")
	f(ask("a b.example.org.", "", "NXDOMAIN", ""), "dns a%20b.example.org. A rcode=NXDOMAIN")
	f(config.Check{Type: "agent"}, "agent")
	f(config.Check{Type: "manual", Name: "m"}, "manual m")
}

// TestFingerprintHoldsEveryPartOfTheQuestion changes each field of a check in turn, of each kind: what changes the question
// changes the fingerprint, and what does not leaves it.
func TestFingerprintHoldsEveryPartOfTheQuestion(t *testing.T) {
	web := "Host Path Expect Method Headers Search"
	asks := map[string]string{
		"http": web + " Preset", "https": web + " Preset Verify", "h2": web + " TLS Verify", "tcp": "Send Reply", "udp": "Send Reply",
		"agent": "Send", "tls": "Host Send Reply ALPN MinDays Verify", "grpc": "Host Service TLS Verify", "dns": "Query", "manual": "Name",
	}
	other := config.Check{
		Name: "other", Port: 9, Preset: "route53", Host: "other.example.org", Path: "/other", Method: "HEAD",
		Headers: []config.CheckHeader{{Name: "A", Value: "b"}}, Expect: []config.StatusRange{{From: 201, To: 201}}, Search: "other",
		Send: "other", Reply: "other", TLS: false, ALPN: []string{"other"}, MinDays: 9, Service: "other",
		Query: config.CheckQuery{Name: "other.example.org."}, Interval: time.Hour, Timeout: time.Minute, Rise: 9, Fall: 9,
		Inverted: true, Verify: true, AtLeast: 9, Inline: true,
	}
	for kind, parts := range asks {
		base := config.Check{Name: "base", Type: kind, TLS: true, Query: config.CheckQuery{Name: "www.example.org."}}
		from := reflect.ValueOf(other)
		for i := range from.NumField() {
			name := from.Type().Field(i).Name
			if name == "Type" || name == "Target" {
				continue // the first word, and the endpoint of the key
			}
			changed := base
			reflect.ValueOf(&changed).Elem().Field(i).Set(from.Field(i))
			matters := strings.Contains(" "+parts+" ", " "+name+" ")
			if (fingerprint(base) != fingerprint(changed)) != matters {
				t.Errorf("%s: %s gives %q and %q", kind, name, fingerprint(base), fingerprint(changed))
			}
		}
	}
}

func TestFingerprintShowsNoSecret(t *testing.T) {
	c := config.Check{Type: "http", Headers: []config.CheckHeader{{Name: "Authorization", Value: "Bearer hunter2"}}}
	if got := fingerprint(c); strings.Contains(got, "hunter2") || !strings.HasPrefix(got, "http / headers=#") {
		t.Errorf("%q", got)
	}
	split := config.Check{Type: "http", Headers: []config.CheckHeader{{Name: "Authorizatio", Value: "nBearer hunter2"}}}
	if fingerprint(c) == fingerprint(split) {
		t.Error("different fields have one fingerprint")
	}
}
