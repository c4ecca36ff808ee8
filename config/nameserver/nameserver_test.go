package nameserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config/nameserver"
	"github.com/meridian-edge/meridian/config/zones"
	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// read reads a file that has only the section dns.
func read(t testing.TB, src string) nameserver.Settings {
	t.Helper()
	d, ok := yamldoc.Parse("dns.yaml", []byte(src), yamldoc.Env{Dir: "/etc/meridian"})
	if !ok {
		t.Fatal(d.Errors())
	}
	settings, _ := nameserver.Read(d.Top().Object("dns"))
	if d.Failed() {
		t.Fatal(d.Errors())
	}
	return settings
}

// TestDefenceIsOnUnlessSwitchedOff is D01: nobody has to know of it.
func TestDefenceIsOnUnlessSwitchedOff(t *testing.T) {
	for _, src := range []string{"{}", "dns: {}", "dns: {rate_limit: on, cookies: on}", "dns: {rate_limit: {}, cookies: {}}"} {
		s := read(t, src)
		if s.RateLimit == nil || s.RateLimit.Responses != 50 || s.RateLimit.NXDomains != 50 || s.RateLimit.Slip != 2 ||
			s.RateLimit.IPv4Prefix != 24 || s.RateLimit.IPv6Prefix != 56 {
			t.Errorf("%s: %+v", src, s.RateLimit)
		}
		if s.Cookies == nil || s.Cookies.MaxPlainResponse != 512 || s.Cookies.Require {
			t.Errorf("%s: %+v", src, s.Cookies)
		}
	}
	if s := read(t, "dns: {rate_limit: off, cookies: off, query_log: off, dnstap: off, zone_files: off}"); s.RateLimit != nil ||
		s.Cookies != nil || s.QueryLog != nil || s.Tap != nil || s.ZoneFiles != nil {
		t.Errorf("%+v", s)
	}
}

func TestOtherRatesFollowThatOfResponses(t *testing.T) {
	r := read(t, "dns: {rate_limit: {responses_per_second: 7, errors_per_second: 3}}").RateLimit
	if r.Responses != 7 || r.Errors != 3 || r.NXDomains != 7 {
		t.Errorf("%+v", r)
	}
}

const secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func TestKeysAreFoundByTheirCanonicalName(t *testing.T) {
	s := read(t, "dns: {keys: {XFER.example.org: {algorithm: hmac-sha384, secret: "+secret+"}}}")
	k, found := s.Key("xfer.example.org.")
	if !found || k.Algorithm != "hmac-sha384" || k.Secret.Len() != 32 || k.Secret.Reveal()[31] != 31 || k.Line != 1 {
		t.Errorf("%+v, %v", k, found)
	}
	if _, found := s.Key("other."); found {
		t.Error("found what is not there")
	}
}

// TestSecretsPrintAsStars tries whatever prints or encodes a value, alone and within others.
func TestSecretsPrintAsStars(t *testing.T) {
	k := nameserver.Key{Name: "k.", Secret: nameserver.NewSecret([]byte("hunter2"))}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb, k)
		fmt.Fprintf(&out, verb, &k)
		fmt.Fprintf(&out, verb, k.Secret)
		fmt.Fprintf(&out, verb, []nameserver.Secret{k.Secret})
	}
	data, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(data)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", k, "secret", k.Secret)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", k, "secret", k.Secret)
	for _, bad := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2"), "104 117"} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("%q shows in\n%s", bad, out.String())
		}
	}
	if k.Secret.String() != "***" || k.Secret != nameserver.NewSecret([]byte("hunter2")) || k.Secret == nameserver.NewSecret(nil) {
		t.Error("equal secrets are equal, others are not")
	}
}

func TestFilesOfAFolderAreZonesNamedAfterThem(t *testing.T) {
	z := read(t, `
dns:
  zone_files: {directory: zones, pattern: "db.*.txt", notify: [192.0.2.53], transfer: {keys: [K]}, journal: 8KiB}
`).ZoneFiles
	for file, want := range map[string]string{
		"db.Example.ORG.txt":  "example.org.",
		"db.0/25.2.0.192.txt": "",
		"db..txt":             "",
		"db.txt":              "",
		"db.example.org":      "",
		"example.org.txt":     "",
		"db.a b.txt":          "",
		"db.*.txt":            "",
		"db.a..b.txt":         "",
		"db.x" + strings.Repeat("y", 64) + ".txt": "",
	} {
		zone, ok := z.Zone(file)
		if ok != (want != "") || zone.Name != want {
			t.Errorf("%s: %q, %v", file, zone.Name, ok)
		}
		if ok && (zone.File != filepath.Join("/etc/meridian/zones", file) || zone.Journal != 8<<10 || zone.Transfer.Keys[0] != "k." ||
			zone.Notify[0] != zones.Peer{Address: netip.MustParseAddrPort("192.0.2.53:53")} || zone.TTL == 0) {
			t.Errorf("%s: %+v", file, zone)
		}
	}
}

// FuzzRead checks that no section can crash the reader, nor show a secret.
func FuzzRead(f *testing.F) {
	for _, src := range []string{
		"dns: {keys: {k: {secret: " + secret + "}}}", "dns: {cookies: {secrets: [0123]}, rate_limit: off}",
		"dns: {query_log: {to: stdout}, dnstap: {socket: x}, zone_files: {directory: z, pattern: a*b}, chaos: {version: x}, nsid: y}",
	} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		d, ok := yamldoc.Parse("dns.yaml", src, yamldoc.Env{})
		if !ok {
			return
		}
		s, _ := nameserver.Read(d.Top().Object("dns"))
		if d.Failed() {
			return
		}
		for _, k := range s.Keys {
			if k.Secret.Len() < 8 || k.Name == "" || k.Algorithm == "" {
				t.Errorf("%+v", k)
			}
		}
		if s.ZoneFiles != nil {
			s.ZoneFiles.Zone(s.NSID)
		}
	})
}
