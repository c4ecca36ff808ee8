package zones_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config/zones"
	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// read reads a file that has only zones.
func read(src string) (*zones.Section, yamldoc.Errors) {
	d, ok := yamldoc.Parse("zones.yaml", []byte(src), yamldoc.Env{})
	if !ok {
		return nil, d.Errors()
	}
	section := zones.Read(d.Top().Object("zones"))
	if !d.Failed() {
		section.Finish()
	}
	return section, d.Errors()
}

// TestReferencesOfOtherSectionsAreYielded looks at what the caller has to look up.
func TestReferencesOfOtherSectionsAreYielded(t *testing.T) {
	section, mistakes := read(`
zones:
  Example.org:
    nameservers: [ns1.example.net]
    records:
      - {name: a, type: A, policy: latency, answers: [
          {id: a, region: eu, check: up, values: [192.0.2.1]}, {id: b, region: us, values: [192.0.2.2]}]}
`)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	var got []string
	for ref := range section.References() {
		got = append(got, fmt.Sprint(ref.Kind, " ", ref.Name, " ", ref.At().Path()))
	}
	want := []string{
		"region eu zones.Example.org.records[0].answers[0].region", "check up zones.Example.org.records[0].answers[0].check",
		"region us zones.Example.org.records[0].answers[1].region",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for range section.References() {
		return // stopping early is fine
	}
}

// TestValuesKeepTheirMeaning parses what the loader made of a value inside some other zone: names in it must be absolute by then, and
// the record the same.
func TestValuesKeepTheirMeaning(t *testing.T) {
	for _, tt := range []struct{ rrtype, value, want string }{
		{"A", "192.0.2.1", "192.0.2.1"},
		{"AAAA", "2001:DB8:0::1", "2001:db8::1"},
		{"CNAME", "www.example.org", "www.example.org."},
		{"NS", "ns1.example.org.", "ns1.example.org."},
		{"MX", "10 mail.example.org", "10 mail.example.org."},
		{"MX", "0 .", "0 ."},
		{"SRV", "1 2 443 www.example.org", "1 2 443 www.example.org."},
		{"CAA", `0 issue "ca.example.org"`, `0 issue "ca.example.org"`},
		{"TXT", "v=spf1 include:example.org; -all", `"v=spf1 include:example.org; -all"`},
		{"TXT", `"one" "two words"`, `"one" "two words"`},
		{"TXT", `say "hi" \ there`, `"say \"hi\" \\ there"`},
		{"TXT", "ü", `"\195\188"`},
		{"TXT", "", `""`},
		{"TXT", strings.Repeat("a", 256), `"` + strings.Repeat("a", 255) + `" "a"`},
		{"HTTPS", `1 . alpn="h2,h3" port=443`, `1 . alpn="h2,h3" port="443"`},
		{"NAPTR", `100 10 "u" "sip" "!^.*$!sip:a@example.org!" .`, `100 10 "u" "sip" "!^.*$!sip:a@example.org!" .`},
		{"TLSA", "3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"},
		{"SSHFP", "4 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "4 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"},
		{"LOC", "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000.00m 10.00m", "52 22 23.000 N 04 53 32.000 E -2m 0.00m 10000m 10m"},
		{"A", `\# 4 c0000201`, "192.0.2.1"},
	} {
		src := fmt.Sprintf("zones:\n  example.org:\n    nameservers: [ns1.example.net]\n    records:\n      - {name: a, type: %s, values: [%q]}\n", tt.rrtype, tt.value)
		section, mistakes := read(src)
		if mistakes != nil {
			t.Errorf("%s %q: %v", tt.rrtype, tt.value, mistakes)
			continue
		}
		got := section.Zones[0].Records[0].Values[0]
		if got != tt.want {
			t.Errorf("%s %q: got %s, want %s", tt.rrtype, tt.value, got, tt.want)
		}
		rr, ok := dns.NewZoneParser(strings.NewReader("a 60 IN "+tt.rrtype+" "+got+"\n"), "other.example.", "").Next()
		if !ok {
			t.Errorf("%s %q: %s cannot be read back", tt.rrtype, tt.value, got)
		} else if again := strings.TrimPrefix(rr.String(), rr.Header().String()); again != got {
			t.Errorf("%s %q: reads back as %s", tt.rrtype, tt.value, again)
		}
	}
}

// TestTypesWithoutANameHoldGenericData is RFC 3597 section 5.
func TestTypesWithoutANameHoldGenericData(t *testing.T) {
	for _, tt := range []struct{ rrtype, value, wantType, want string }{
		{"TYPE65280", `\# 4 0A00 00FF`, "TYPE65280", `\# 4 0a0000ff`},
		{"type065280", `\# 1 ff`, "TYPE65280", `\# 1 ff`},
		{"TYPE34", `\# 1 00`, "TYPE34", `\# 1 00`},
		{"TYPE1", `\# 4 c0000201`, "A", "192.0.2.1"},
		{"TYPE1", "192.0.2.1", "A", "192.0.2.1"},
		{"TYPE16", "text", "TXT", `"text"`},
	} {
		src := fmt.Sprintf("zones:\n  example.org:\n    nameservers: [ns1.example.net]\n    records:\n      - {name: a, type: %s, values: [%q]}\n", tt.rrtype, tt.value)
		section, mistakes := read(src)
		if mistakes != nil {
			t.Errorf("%s %q: %v", tt.rrtype, tt.value, mistakes)
			continue
		}
		r := section.Zones[0].Records[0]
		if r.Type != tt.wantType || r.Values[0] != tt.want {
			t.Errorf("%s %q: got %s %s, want %s %s", tt.rrtype, tt.value, r.Type, r.Values[0], tt.wantType, tt.want)
		}
		if _, err := dns.NewRR("a. 60 IN " + r.Type + " " + r.Values[0]); err != nil {
			t.Errorf("%s %q cannot be read back: %v", r.Type, r.Values[0], err)
		}
	}
}
