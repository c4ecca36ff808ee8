package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

const delegatedZone = `version: 1
listeners: {dns: ["127.0.0.1:5300"]}
zones:
  example.org:
    nameservers: [ns1.example.org, ns.example.net]
    records:
      - {name: ns1, type: A, ttl: 1h, values: [192.0.2.1]}
      - {name: ns1, type: AAAA, ttl: 1h, values: ["2001:db8::1"]}
`

func delegateCommand(t *testing.T, zone string, args ...string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "meridian.yaml")
	if err := os.WriteFile(path, []byte(zone), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(append([]string{"delegate", "-c", path}, args...))
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestDelegatePrintsWhatToPaste(t *testing.T) {
	out, err := delegateCommand(t, delegatedZone, "Example.org", "--offline")
	want := "example.org.\tIN\tNS\tns.example.net.\nexample.org.\tIN\tNS\tns1.example.org.\n" +
		"ns1.example.org.\tIN\tA\t192.0.2.1\nns1.example.org.\tIN\tAAAA\t2001:db8::1\n"
	if err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := delegateCommand(t, delegatedZone, "example.com", "--offline"); err == nil || !strings.Contains(err.Error(), "it has: example.org.") {
		t.Errorf("another zone: %v", err)
	}
}

// A parent that delegates to nobody: the differences are printed, and the exit code says so.
func TestDelegateNamesWhatIsWrong(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started, done := make(chan struct{}), make(chan error, 1)
	server := &mdns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		m := new(mdns.Msg).SetReply(q)
		var line string
		switch name := q.Question[0].Name; {
		case q.RecursionDesired && q.Question[0].Qtype == mdns.TypeNS && name == "org.":
			line = "org. 60 IN NS a.org."
		case q.RecursionDesired && q.Question[0].Qtype == mdns.TypeA:
			line = name + " 60 IN A 127.0.0.1"
		}
		if rr, _ := mdns.NewRR(line); rr != nil {
			m.Answer = append(m.Answer, rr)
		}
		_ = w.WriteMsg(m)
	})}
	go func() { done <- server.ActivateAndServe() }()
	<-started
	defer func() {
		_ = server.Shutdown()
		<-done
	}()
	addr := conn.LocalAddr().String()
	_, port, _ := net.SplitHostPort(addr)
	zone, _, _ := strings.Cut(strings.Replace(delegatedZone, "192.0.2.1", "127.0.0.1", 1), "      - {name: ns1, type: AAAA")
	out, err := delegateCommand(t, zone, "example.org", "--resolver", addr, "--port", port)
	if !errors.Is(err, errDelegation) || exitCode(err) != exitCheck || !strings.Contains(out, "a.org.: the parent does not delegate example.org.") {
		t.Errorf("%v\n%s", err, out)
	}
}
