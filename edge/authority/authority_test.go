package authority_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/edge/authority"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a folder with a configuration and zone files.
type world struct {
	t   *testing.T
	dir string
}

func newWorld(t *testing.T) *world { return &world{t, t.TempDir()} }

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) config(text string) *config.Config {
	w.t.Helper()
	cfg, _, err := config.Parse(filepath.Join(w.dir, "meridian.yaml"), []byte("version: 1\nlisteners: {dns: [\"127.0.0.1:5300\"]}\n"+text), config.Env{})
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

const soa = "@ 300 IN SOA ns.example.net. host.example.net. %d 7200 900 1209600 60\n@ 300 IN NS ns.example.net.\n"

// ask answers one question.
func ask(t *testing.T, k *authority.Keeper, name, typ string) string {
	t.Helper()
	number, err := dns.ParseType(typ)
	if err != nil {
		t.Fatal(err)
	}
	e, err := k.Zones().Explain(name, number, &dns.Client{})
	if err != nil {
		t.Fatal(err)
	}
	var data []string
	for _, rr := range e.Answer {
		_, value, _ := strings.Cut(rr, "\t"+typ+"\t")
		data = append(data, value)
	}
	return e.RCode + " " + strings.Join(data, ",")
}

func want(t *testing.T, k *authority.Keeper, name, typ, answer string) {
	t.Helper()
	if got := ask(t, k, name, typ); got != answer {
		t.Errorf("%s %s is %q, want %q", name, typ, got, answer)
	}
}

func install(t *testing.T, k *authority.Keeper, cfg *config.Config) *authority.Build {
	t.Helper()
	b, err := k.Build(cfg, dns.Deps{Serial: 100})
	if err != nil {
		t.Fatal(err)
	}
	k.Install(t.Context(), b)
	return b
}

const fromFiles = `
dns: {zone_files: {directory: zones}}
zones:
  example.org:
    file: org.zone
    records:
      - {name: cdn, type: A, ttl: 60s, values: [192.0.2.80]}
`

func TestZonesComeFromFilesAndTheConfiguration(t *testing.T) {
	w := newWorld(t)
	if err := os.Mkdir(filepath.Join(w.dir, "zones"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("org.zone", fmt.Sprintf(soa, 1)+"www 300 IN A 192.0.2.1\n")
	w.write("zones/example.com.zone", fmt.Sprintf(soa, 1)+"www 300 IN A 192.0.2.2\n")
	k := authority.New(authority.Options{StateDir: w.dir})
	defer k.Close()
	b := install(t, k, w.config(fromFiles))
	if err := b.Check(); err != nil {
		t.Error(err)
	}
	want(t, k, "www.example.org", "A", "NOERROR 192.0.2.1")
	want(t, k, "cdn.example.org", "A", "NOERROR 192.0.2.80")
	want(t, k, "www.example.com", "A", "NOERROR 192.0.2.2")
	want(t, k, "www.example.net", "A", "REFUSED ")
}

func TestABadFileKeepsItsLastGoodVersionAndHurtsNobodyElse(t *testing.T) {
	w := newWorld(t)
	if err := os.Mkdir(filepath.Join(w.dir, "zones"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("org.zone", fmt.Sprintf(soa, 1)+"www 300 IN A 192.0.2.1\n")
	w.write("zones/example.com.zone", fmt.Sprintf(soa, 1)+"www 300 IN A 192.0.2.2\n")
	k := authority.New(authority.Options{StateDir: w.dir})
	defer k.Close()
	cfg := w.config(fromFiles)
	install(t, k, cfg)
	w.write("org.zone", fmt.Sprintf(soa, 2)+"www 300 IN A nonsense\n")
	w.write("zones/example.com.zone", fmt.Sprintf(soa, 2)+"www 300 IN A 192.0.2.22\n")
	b := install(t, k, cfg)
	if err := b.Check(); !errors.Is(err, authority.ErrFiles) || !strings.Contains(err.Error(), "org.zone:3") {
		t.Errorf("%v", err)
	}
	want(t, k, "www.example.org", "A", "NOERROR 192.0.2.1")
	want(t, k, "www.example.com", "A", "NOERROR 192.0.2.22")
}

func TestOneZoneIsReloadedByItself(t *testing.T) {
	w := newWorld(t)
	if err := os.Mkdir(filepath.Join(w.dir, "zones"), 0o700); err != nil {
		t.Fatal(err)
	}
	version := func(n int) {
		for i, name := range []string{"org.zone", "zones/example.com.zone"} {
			w.write(name, fmt.Sprintf(soa, n)+fmt.Sprintf("www 300 IN A 192.0.2.%d\n", 10*(i+1)+n))
		}
	}
	version(1)
	k := authority.New(authority.Options{StateDir: w.dir, Watch: -1})
	defer k.Close()
	install(t, k, w.config(fromFiles))
	version(2)
	for _, step := range []struct {
		name      string
		changed   bool
		org, com  string
		wantError string
	}{
		{name: "example.com", changed: true, org: "11", com: "22"},
		{name: "EXAMPLE.com.", org: "11", com: "22"},
		{name: "example.org", changed: true, org: "12", com: "22"},
		{name: "example.net", org: "12", com: "22", wantError: "no zone file"},
		{name: "not..a.name", org: "12", com: "22", wantError: "not..a.name"},
	} {
		changed, err := k.LookAt(t.Context(), step.name)
		if changed != step.changed || (err == nil) != (step.wantError == "") || err != nil && !strings.Contains(err.Error(), step.wantError) {
			t.Errorf("%s: %v, %v", step.name, changed, err)
		}
		want(t, k, "www.example.org", "A", "NOERROR 192.0.2."+step.org)
		want(t, k, "www.example.com", "A", "NOERROR 192.0.2."+step.com)
	}
	w.write("org.zone", fmt.Sprintf(soa, 3)+"www 300 IN A nonsense\n")
	if _, err := k.LookAt(t.Context(), "example.org"); err == nil || !strings.Contains(err.Error(), "org.zone:3") || !strings.Contains(err.Error(), "last good version") {
		t.Error(err)
	}
	want(t, k, "www.example.org", "A", "NOERROR 192.0.2.12")
	if n, err := k.Look(t.Context()); n != 0 || err != nil {
		t.Error("a look finds what was found already: ", n, err)
	}
}

// A file that never was good is a zone that is ours and not there: resolvers keep asking, and nobody is told that names do not exist.
func TestAFileThatNeverWasGoodIsServfail(t *testing.T) {
	w := newWorld(t)
	k := authority.New(authority.Options{StateDir: w.dir})
	defer k.Close()
	install(t, k, w.config("zones: {example.org: {file: missing.zone}}\n"))
	want(t, k, "www.example.org", "A", "SERVFAIL ")
}

func TestAChangedFileIsServedWithoutAReload(t *testing.T) {
	w := newWorld(t)
	w.write("org.zone", fmt.Sprintf(soa, 1)+"www 300 IN A 192.0.2.1\n")
	k := authority.New(authority.Options{StateDir: w.dir, Watch: 5 * time.Millisecond})
	defer k.Close()
	install(t, k, w.config("zones: {example.org: {file: org.zone}}\n"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = k.Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	w.write("org.zone", fmt.Sprintf(soa, 2)+"www 300 IN A 192.0.2.22\n")
	for deadline := time.Now().Add(30 * time.Second); ask(t, k, "www.example.org", "A") != "NOERROR 192.0.2.22"; {
		if time.Now().After(deadline) {
			t.Fatal("it is not")
		}
		time.Sleep(time.Millisecond) // between two looks; the condition ends the wait
	}
}

// ANAME: the last good addresses stay whatever the resolver says, and before there are any the answer is SERVFAIL, not nothing.
func TestAliasesToHostsKeepTheirLastGoodAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var answer atomic.Pointer[[]netip.Addr]
		lookup := func(context.Context, string) ([]netip.Addr, time.Duration, error) {
			if a := answer.Load(); a != nil {
				return *a, 30 * time.Second, nil
			}
			return nil, 0, errors.New("no answer")
		}
		k := authority.New(authority.Options{Lookup: lookup, Watch: -1})
		defer k.Close()
		install(t, k, w.config("zones:\n  example.org:\n    nameservers: [ns.example.net]\n    records: [{name: \"@\", type: A, ttl: 5m, alias: {host: origin.example.net}}]\n"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = k.Run(ctx)
		}()
		defer func() {
			cancel()
			<-done
		}()
		synctest.Wait()
		want(t, k, "example.org", "A", "SERVFAIL ")
		answer.Store(&[]netip.Addr{netip.MustParseAddr("192.0.2.7")})
		time.Sleep(6 * time.Second)
		want(t, k, "example.org", "A", "NOERROR 192.0.2.7")
		answer.Store(nil)
		time.Sleep(time.Hour)
		want(t, k, "example.org", "A", "NOERROR 192.0.2.7")
		answer.Store(&[]netip.Addr{netip.MustParseAddr("192.0.2.8")})
		time.Sleep(6 * time.Second)
		want(t, k, "example.org", "A", "NOERROR 192.0.2.8")
	})
}

func TestASecondaryWithoutDataIsServfail(t *testing.T) {
	w := newWorld(t)
	refuse := errors.New("nobody there")
	k := authority.New(authority.Options{StateDir: w.dir, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refuse }})
	defer k.Close()
	install(t, k, w.config("zones: {example.org: {primaries: [{address: 192.0.2.53}]}}\n"))
	want(t, k, "www.example.org", "A", "SERVFAIL ")
	if rr := mdns.TypeToString[mdns.TypeSOA]; ask(t, k, "example.org", rr) != "SERVFAIL " {
		t.Error("the apex is answered")
	}
}
