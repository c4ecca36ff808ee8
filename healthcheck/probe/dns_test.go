package probe_test

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/probe"
)

// zone is a DNS server over UDP and TCP at the same port. Names that begin with "big" do not fit into a datagram.
func zone(t *testing.T) (address string) {
	t.Helper()
	udp, tcp := pair(t)
	h := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		name := strings.ToLower(q.Question[0].Name)
		_, overUDP := w.RemoteAddr().(*net.UDPAddr)
		switch {
		case strings.HasPrefix(name, "big.") && overUDP:
			m.Truncated = true
		case strings.HasPrefix(name, "www.") || strings.HasPrefix(name, "big."):
			for _, s := range []string{
				name + " 60 IN CNAME Host.example.org.", "Host.example.org. 60 IN A 192.0.2.1", "Host.example.org. 60 IN A 192.0.2.2",
				name + " 60 IN MX 10 Mail.Example.org.",
				name + ` 60 IN TXT "Text"`,
			} {
				rr, err := dns.NewRR(s)
				if err != nil {
					t.Error(err)
				}
				m.Answer = append(m.Answer, rr)
			}
		case strings.HasPrefix(name, "lame."):
			m.SetRcode(q, dns.RcodeRefused)
		default:
			m.SetRcode(q, dns.RcodeNameError)
		}
		_ = w.WriteMsg(m)
	})
	servers := []*dns.Server{{PacketConn: udp, Handler: h}, {Listener: tcp, Handler: h}}
	for _, s := range servers {
		started, done := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { defer close(done); _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown(); <-done })
	}
	return udp.LocalAddr().String()
}

// pair listens on one port over UDP and TCP.
func pair(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp
		}
		_ = udp.Close()
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

func ask(name, qtype, rcode, answer string) config.Check {
	return config.Check{Type: "dns", Query: config.CheckQuery{Name: name, Type: qtype, Rcode: rcode, Answer: answer}}
}

func TestDNSRcodeAndAnswer(t *testing.T) {
	address := zone(t)
	f := func(c config.Check, kind probe.Kind, reason string) {
		t.Helper()
		want(t, try(t, c, address), kind, reason)
	}
	f(ask("www.example.org.", "", "", ""), probe.KindSuccess, `NOERROR with 5 answers`+took)
	f(ask("www.example.org.", "A", "NOERROR", "192.0.2.2"), probe.KindSuccess, `NOERROR 192.0.2.2`+took)
	f(ask("WWW.example.org", "A", "NOERROR", "192.0.2.9"), probe.KindContent, `no answer 192.0.2.9, got 192.0.2.1`)
	f(ask("www.example.org.", "MX", "", "10 mail.example.org."), probe.KindSuccess, `NOERROR 10 Mail.Example.org.`+took) // names have no case
	f(ask("www.example.org.", "TXT", "", `"text"`), probe.KindContent, `no answer "text", got "Text"`)                   // texts have
	f(ask("www.example.org.", "AAAA", "", "2001:db8::1"), probe.KindContent, `no answer 2001:db8::1, got none`)
	f(ask("none.example.org.", "A", "NXDOMAIN", ""), probe.KindSuccess, `NXDOMAIN with 0 answers`+took)
	f(ask("none.example.org.", "A", "", ""), probe.KindStatus, `rcode NXDOMAIN, want NOERROR`)
	f(ask("lame.example.org.", "A", "", ""), probe.KindStatus, `rcode REFUSED, want NOERROR`)
	f(ask("big.example.org.", "A", "", "192.0.2.1"), probe.KindSuccess, `NOERROR 192.0.2.1`+took) // over TCP
}

// replies is a DNS server that answers with hand-made datagrams.
func replies(t *testing.T, make func(q *dns.Msg) [][]byte) (address string) {
	return datagrams(t, func(s string) []string {
		q := new(dns.Msg)
		if err := q.Unpack([]byte(s)); err != nil {
			t.Error(err)
		}
		var list []string
		for _, b := range make(q) {
			list = append(list, string(b))
		}
		return list
	})
}

func TestDNSServersThatMisbehave(t *testing.T) {
	pack := func(m *dns.Msg) []byte {
		b, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		return b
	}
	with := func(q *dns.Msg, change func(*dns.Msg)) []byte {
		m := new(dns.Msg).SetReply(q)
		change(m)
		return pack(m)
	}
	f := func(kind probe.Kind, reason string, make func(q *dns.Msg) [][]byte) {
		t.Helper()
		c := ask("www.example.org.", "A", "", "")
		c.Timeout = 300 * time.Millisecond
		want(t, try(t, c, replies(t, make)), kind, reason)
	}
	otherID := func(m *dns.Msg) { m.Id++ }
	otherName := func(m *dns.Msg) { m.Question[0].Name = "other.example.org." }
	good := func(*dns.Msg) {}
	f(probe.KindSuccess, `NOERROR with 0 answers`+took, func(q *dns.Msg) [][]byte { // strangers' answers are passed over
		return [][]byte{with(q, otherID), with(q, otherName), pack(q), {1}, with(q, good)}
	})
	f(probe.KindTimeout, `timeout after 300ms \(response\)`, func(q *dns.Msg) [][]byte { return [][]byte{with(q, otherID)} })
	f(probe.KindResponse, `response: answer to another question`, func(q *dns.Msg) [][]byte {
		var list [][]byte
		for range 16 {
			list = append(list, with(q, otherID))
		}
		return append(list, with(q, good))
	})
	f(probe.KindResponse, `response: malformed DNS message`, func(q *dns.Msg) [][]byte { return [][]byte{with(q, good)[:14]} })
	f(probe.KindResponse, `response: malformed DNS message`, func(q *dns.Msg) [][]byte {
		return [][]byte{with(q, func(m *dns.Msg) { m.Question = nil })}
	})
	f(probe.KindStatus, `rcode FORMERR, want NOERROR`, func(q *dns.Msg) [][]byte { // need not repeat the question
		return [][]byte{with(q, func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeFormatError })}
	})
	f(probe.KindConnect, `connect: connection refused`, func(q *dns.Msg) [][]byte { // nobody there over TCP
		return [][]byte{with(q, func(m *dns.Msg) { m.Truncated = true })}
	})
}

func TestDNSMessageOverTCPIsBounded(t *testing.T) {
	f := func(length uint16, rest string, reason string) {
		t.Helper()
		udp, tcp := pair(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, 2048)
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			buf[2] |= 0x82 // QR and TC
			_, _ = udp.WriteTo(buf[:n], from)
		}()
		t.Cleanup(func() { _ = udp.Close(); <-done })
		accept(t, tcp, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 2048))
			_, _ = c.Write(binary.BigEndian.AppendUint16(nil, length))
			_, _ = io.WriteString(c, rest)
		})
		want(t, try(t, ask("www.example.org.", "A", "", ""), udp.LocalAddr().String()), probe.KindResponse, reason)
	}
	f(4097, "", `response: DNS message above 4096 bytes`)
	f(4096, "short", `response: connection closed`)
	f(0, "", `response: answer to another question`)
}

func TestDNSPortWithoutServer(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	want(t, try(t, ask("www.example.org.", "A", "", ""), conn.LocalAddr().String()), probe.KindConnect, `connect: connection refused`)
}
