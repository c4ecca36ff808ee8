package guard_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/guard"
	"github.com/meridian-edge/meridian/internal/need"
)

// peer is another server of cookies: its program, and how it is run from a folder of its own.
type peer struct {
	program string
	files   func(dir, secret string, port int) map[string]string
	args    func(dir string) []string
	refuses bool // it answers what is not good with BADCOOKIE, and makes a new cookie for whatever is; else it gives good ones back
}

var peers = []peer{
	{"nsd", func(dir, secret string, port int) map[string]string {
		return map[string]string{"nsd.conf": fmt.Sprintf(`server:
  ip-address: 127.0.0.1@%d
  server-count: 1
  username: ""
  zonesdir: %q
  database: ""
  pidfile: ""
  zonelistfile: "%s/zone.list"
  xfrdfile: "%s/xfrd.state"
  xfrdir: %q
  cookie-secret-file: "%s/none"
  answer-cookie: yes
  cookie-secret: %q
remote-control:
  control-enable: no
`, port, dir, dir, dir, dir, dir, secret)}
	}, func(dir string) []string { return []string{"-d", "-c", filepath.Join(dir, "nsd.conf")} }, false},
	{"named", func(dir, secret string, port int) map[string]string {
		return map[string]string{"named.conf": fmt.Sprintf(`options {
  directory %q; listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile "%s/session.key";
  recursion no; dnssec-validation no; cookie-algorithm siphash24; cookie-secret %q; notify no;
  require-server-cookie yes;
};
controls { };
`, dir, port, dir, secret)}
	}, func(dir string) []string { return []string{"-g", "-n", "1", "-c", filepath.Join(dir, "named.conf")} }, true},
	{"knotd", func(dir, secret string, port int) map[string]string {
		return map[string]string{"knot.conf": fmt.Sprintf(`server:
    rundir: %q
    listen: 127.0.0.1@%d
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: %q
mod-cookies:
  - id: default
    secret: 0x%s
    badcookie-slip: 1
template:
  - id: default
    storage: %q
    global-module: mod-cookies/default
`, dir, port, dir, secret, dir)}
	}, func(dir string) []string { return []string{"-c", filepath.Join(dir, "knot.conf")} }, true},
}

// TestD04PeersTakeOurCookies, and we take theirs, when the secret is the same and only then.
func TestD04PeersTakeOurCookies(t *testing.T) {
	const text = "e5e973e5a6b2a43f48e7dc849e37bfcf"
	for _, p := range peers {
		t.Run(p.program, func(t *testing.T) {
			at := p.start(t, text)
			g := newGuard(t, guard.Options{Cookies: true, Secrets: []guard.Secret{secret(t, text)}})
			other := newGuard(t, guard.Options{Cookies: true})
			us := netip.MustParseAddr("127.0.0.1")
			var reply, foreign [guard.CookieLen]byte

			theirs, _ := askCookie(t, at, []byte("abcdefgh"))
			if len(theirs) != guard.CookieLen {
				t.Fatalf("their cookie is %x", theirs)
			}
			if got := g.Cookie(&reply, theirs, us, time.Now()); got != guard.ValidCookie || !bytes.Equal(reply[:], theirs) {
				t.Errorf("their cookie: %s, renewed as %x", got, reply)
			}
			if got := other.Cookie(&reply, theirs, us, time.Now()); got != guard.BadCookie {
				t.Errorf("their cookie with another secret: %s", got)
			}
			// A cookie a minute old cannot be mistaken for one they have just made.
			g.Cookie(&reply, []byte("hgfedcba"), us, time.Now().Add(-time.Minute))
			other.Cookie(&foreign, []byte("hgfedcba"), us, time.Now().Add(-time.Minute))
			for _, test := range []struct {
				name   string
				cookie []byte
				good   bool
			}{{"ours", reply[:], true}, {"another secret's", foreign[:], false}} {
				back, rcode := askCookie(t, at, test.cookie)
				good := bytes.Equal(back, test.cookie)
				if p.refuses {
					good = rcode != mdns.RcodeBadCookie
				}
				if good != test.good {
					t.Errorf("%s cookie %x came back as %x with %s", test.name, test.cookie, back, mdns.RcodeToString[rcode])
				}
			}
		})
	}
}

// start runs the peer until the end of the test and returns its address. A free port may be taken by somebody else before the peer
// has it; then another is tried.
func (p *peer) start(t *testing.T, secret string) string {
	t.Helper()
	program := need.Tool(t, p.program)
	var out bytes.Buffer
	for range 5 {
		dir, port := t.TempDir(), freePort(t)
		for name, text := range p.files(dir, secret, port) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out.Reset()
		ctx, cancel := context.WithCancel(context.Background())
		c := exec.CommandContext(ctx, program, p.args(dir)...)
		c.Stdout, c.Stderr = &out, &out
		c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
		c.WaitDelay = 30 * time.Second
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { c.Wait(); close(ended) }()
		at := fmt.Sprintf("127.0.0.1:%d", port)
		if answers(at, ended) {
			t.Cleanup(func() { cancel(); <-ended })
			return at
		}
		cancel()
		<-ended
	}
	t.Fatalf("%s does not answer\n%s", p.program, out.Bytes())
	return ""
}

func freePort(t *testing.T) int {
	t.Helper()
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	return tcp.Addr().(*net.TCPAddr).Port
}

// answers waits for a server to answer with a cookie.
func answers(at string, ended <-chan struct{}) bool {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if cookie, _, err := exchangeCookie(at, []byte("abcdefgh")); err == nil && len(cookie) == guard.CookieLen {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	return false
}

func askCookie(t *testing.T, at string, cookie []byte) (back []byte, rcode int) {
	t.Helper()
	back, rcode, err := exchangeCookie(at, cookie)
	if err != nil {
		t.Fatal(err)
	}
	return back, rcode
}

func exchangeCookie(at string, cookie []byte) (back []byte, rcode int, err error) {
	m := new(mdns.Msg).SetQuestion("www.example.org.", mdns.TypeA)
	m.RecursionDesired = false
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: hex.EncodeToString(cookie)})
	c := mdns.Client{Timeout: 10 * time.Second}
	r, _, err := c.Exchange(m, at)
	if err != nil {
		return nil, 0, err
	}
	if o := r.IsEdns0(); o != nil {
		for _, o := range o.Option {
			if c, ok := o.(*mdns.EDNS0_COOKIE); ok {
				back, err = hex.DecodeString(c.Cookie)
				return back, r.Rcode, err
			}
		}
	}
	return nil, 0, errors.New("no cookie in the reply")
}
