package probe_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/probe"
)

func TestTCPReplyHoldsWhatIsExpected(t *testing.T) {
	pong := speak(t, func(c net.Conn) {
		buf := make([]byte, 64)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if string(buf[:n]) == "PING\r\n" {
				_, _ = io.WriteString(c, "+PO")
				_, _ = io.WriteString(c, "NG\r\n")
			} else {
				_, _ = io.WriteString(c, "-ERR\r\n")
			}
		}
	})
	f := func(send, reply string, kind probe.Kind, reason string) {
		t.Helper()
		want(t, try(t, config.Check{Type: "tcp", Send: send, Reply: reply, Timeout: 300 * time.Millisecond}, pong), kind, reason)
	}
	f("", "", probe.KindSuccess, `connected`+took)
	f("PING\r\n", "+PONG", probe.KindSuccess, `reply "\+PONG.*"`+took)
	f("PING\r\n", "", probe.KindSuccess, `reply "\+PO.*"`+took) // any reply
	f("HELLO", "+PONG", probe.KindTimeout, `timeout after 300ms \(response\), got "-ERR\\r\\n"`)
	f("", "+PONG", probe.KindTimeout, `timeout after 300ms \(response\)`) // a banner that never comes
}

func TestTCPBannerWithoutSending(t *testing.T) {
	smtp := speak(t, say("220 mail.example.org ESMTP\r\n"))
	want(t, try(t, config.Check{Type: "tcp", Reply: "220 "}, smtp), probe.KindSuccess, `reply "220 mail.example.org ESMTP\\r\\n"`+took)
}

func TestTCPReplyIsBytes(t *testing.T) {
	raw := speak(t, say("\x00\xff\x01"))
	want(t, try(t, config.Check{Type: "tcp", Reply: "\xff\x01"}, raw), probe.KindSuccess, `reply "\\x00\\xff\\x01"`+took)
}

func TestTCPReplyThatEndsOrNeverEnds(t *testing.T) {
	f := func(serve func(net.Conn), kind probe.Kind, reason string) {
		t.Helper()
		want(t, try(t, config.Check{Type: "tcp", Send: "x", Reply: "ok"}, speak(t, serve)), kind, reason)
	}
	f(utter("no"), probe.KindContent, `reply "no" lacks "ok"`)
	f(utter(""), probe.KindResponse, `response: connection closed`)
	f(say(strings.Repeat("y", 4096)+"ok"), probe.KindContent, `reply "y{40}"... lacks "ok"`) // beyond the limit
	f(say(strings.Repeat("y", 4094)+"ok"), probe.KindSuccess, `reply "y{40}"\.\.\.`+took)
}

// datagrams answers each datagram with the datagrams a function returns.
func datagrams(t *testing.T, reply func(string) []string) (address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, d := range reply(string(buf[:n])) {
				_, _ = conn.WriteTo([]byte(d), from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return conn.LocalAddr().String()
}

func TestUDPReplyHoldsWhatIsExpected(t *testing.T) {
	echo := datagrams(t, func(s string) []string { return []string{"got " + s} })
	want(t, try(t, config.Check{Type: "udp", Send: "\x01\x02", Reply: "\x02"}, echo), probe.KindSuccess, `reply "got \\x01\\x02"`+took)
	want(t, try(t, config.Check{Type: "udp", Send: "hi"}, echo), probe.KindSuccess, `reply "got hi"`+took)
	want(t, try(t, config.Check{Type: "udp", Send: "hi", Reply: "bye"}, echo), probe.KindContent, `reply "got hi" lacks "bye"`)
}

func TestUDPReplyIsLookedAtUpToItsLimit(t *testing.T) {
	big := datagrams(t, func(string) []string { return []string{strings.Repeat("y", 4096-5) + "inside" + "outside"} })
	want(t, try(t, config.Check{Type: "udp", Send: "x", Reply: "insid"}, big), probe.KindSuccess, `reply "y{40}"\.\.\.`+took)
	want(t, try(t, config.Check{Type: "udp", Send: "x", Reply: "inside"}, big), probe.KindContent, `reply "y{40}"... lacks "inside"`)
}

func TestUDPWithoutAReplyIsDown(t *testing.T) {
	mute := datagrams(t, func(string) []string { return nil })
	c := config.Check{Type: "udp", Send: "hi", Timeout: 200 * time.Millisecond}
	want(t, try(t, c, mute), probe.KindTimeout, `timeout after 200ms \(response\)`)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := conn.LocalAddr().String()
	_ = conn.Close()
	want(t, try(t, c, gone), probe.KindConnect, `connect: connection refused`) // ICMP port unreachable
}

func TestAgentSaysHowItIs(t *testing.T) {
	f := func(line string, kind probe.Kind, reason string) {
		t.Helper()
		want(t, try(t, config.Check{Type: "agent"}, speak(t, say(line))), kind, reason)
	}
	f("75%\n", probe.KindSuccess, `agent: 75%`+took)
	f("UP 99%\r\n", probe.KindSuccess, `agent: up 99%`+took)
	f("ready\tup, maxconn:30\n", probe.KindSuccess, `agent: up ready maxconn 30`+took)
	f("down # disk full\n", probe.KindContent, `agent: down \(disk full\)`)
	f("fail#\x1b[31mred\n", probe.KindContent, `agent: fail \(\?\[31mred\)`)
	f("stopped\n", probe.KindContent, `agent: stopped`)
	f("maint\n", probe.KindContent, `agent: maint`)
	f("drain up 50%\n", probe.KindContent, `agent: up drain 50%`)
	f("drain ready\n", probe.KindSuccess, `agent: ready`+took) // the last word of a sort counts
	f("up 0%\n", probe.KindContent, `agent: up 0%`)
	f("hello\n", probe.KindResponse, `agent: no word is known in "hello"`)
	f("\n", probe.KindResponse, `agent: no word is known in ""`)
	f("-5% 99999999999% maxconn:x\n", probe.KindResponse, `agent: no word is known in .*`)
	f(strings.Repeat(" ", 512)+"up\n", probe.KindResponse, `response: agent line above 512 bytes`)
}

func TestAgentIsAskedAndMayHangUp(t *testing.T) {
	asked := speak(t, func(c net.Conn) {
		buf := make([]byte, 64)
		n, _ := c.Read(buf)
		if string(buf[:n]) == "state web\n" {
			_, _ = io.WriteString(c, "up") // without the end of the line
		}
	})
	want(t, try(t, config.Check{Type: "agent", Send: "state web\n"}, asked), probe.KindSuccess, `agent: up`+took)
	want(t, try(t, config.Check{Type: "agent", Send: "state db\n"}, asked), probe.KindResponse, `response: connection closed`)
	mute := speak(t, hush)
	want(t, try(t, config.Check{Type: "agent", Timeout: 200 * time.Millisecond}, mute), probe.KindTimeout, `timeout after 200ms \(response\)`)
}
