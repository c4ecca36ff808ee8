package demo

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeEdges listen on one port at two addresses of loopback. Each connection goes to the function of its address.
func fakeEdges(t *testing.T, first, second func(net.Conn)) (port uint16) {
	t.Helper()
	for range 20 {
		a, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port = a.Addr().(*net.TCPAddr).AddrPort().Port()
		b, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port))
		if err != nil {
			_ = a.Close()
			continue
		}
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait) // after the listeners are closed: cleanups run last in, first out
		for l, serve := range map[net.Listener]func(net.Conn){a: first, b: second} {
			wg.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					wg.Go(func() {
						defer c.Close()
						serve(c)
					})
				}
			})
			t.Cleanup(func() { _ = l.Close() })
		}
		return port
	}
	t.Fatal("no port on both addresses")
	return 0
}

// answering reads requests and answers each with the same bytes, then hangs up.
func answering(response string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = c.Write([]byte(response))
		}
	}
}

func goodResponse(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nRepr-Digest: %s\r\nCache-Status: us; fwd=miss\r\n%s: nyc\r\nConnection: close\r\n\r\n%s",
		len(body), digest(body), originField, body)
}

// newTestClient is a client that two name servers send to 127.0.0.1 and 127.0.0.2.
func newTestClient(t *testing.T, port uint16) *client {
	t.Helper()
	a, b := serveDNS(t, address(60, "127.0.0.1")), serveDNS(t, address(60, "127.0.0.2"))
	return &client{
		country: candidates()[0], deadline: requestDeadline, random: rand.New(rand.NewPCG(1, 1)),
		resolver: &resolver{servers: []netip.AddrPort{a.addr, b.addr}, subnet: candidates()[0].Subnet, report: func(query) {}},
		lanes:    []*lane{{proto: protoH1, http: port}},
	}
}

func request(t *testing.T, c *client) *sample {
	t.Helper()
	s := c.request(t.Context(), c.lanes[0], "/")
	c.lanes[0].drop()
	return s
}

func TestClientRetriesElsewhereWhenAnEdgeDies(t *testing.T) {
	body := strings.Repeat("x", 5000)
	good := goodResponse(body)
	for name, dying := range map[string]func(net.Conn){
		"before a byte":     func(net.Conn) {},
		"after the request": answering(""),
		"within the head":   answering(good[:40]),
		"within the body":   answering(good[:len(good)-1000]),
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestClient(t, fakeEdges(t, dying, answering(good)))
			s := request(t, c)
			if s.err != nil || s.attempts != 2 || s.edge != netip.MustParseAddr("127.0.0.2") || s.hit || s.origin != "nyc" {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestClientDoesNotRetryAWrongAnswer(t *testing.T) {
	good := goodResponse("hello")
	for name, response := range map[string]string{
		"another byte": strings.Replace(good, "hello", "jello", 1),
		"cut short":    strings.Replace(strings.Replace(good, "hello", "hell", 1), "Length: 5", "Length: 4", 1),
		"no digest":    strings.Replace(good, "Repr-Digest", "X-Digest", 1),
		"status 502":   strings.Replace(good, "200 OK", "502 Bad Gateway", 1),
		"status 404":   strings.Replace(good, "200 OK", "404 Not Found", 1),
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestClient(t, fakeEdges(t, answering(response), answering(good)))
			if s := request(t, c); !errors.Is(s.err, errWrong) || s.attempts != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestRequestFailsAtItsDeadline(t *testing.T) {
	hangUp := func(net.Conn) {}
	c := newTestClient(t, fakeEdges(t, hangUp, hangUp))
	c.deadline = 200 * time.Millisecond
	s := request(t, c)
	if s.err == nil || errors.Is(s.err, errWrong) || s.attempts < 3 {
		t.Errorf("%+v", s)
	}
	if s.took() < c.deadline || s.took() > c.deadline+dnsTimeout {
		t.Errorf("took %v", s.took())
	}
}

func TestClientSurvivesDeadNameServers(t *testing.T) {
	c := newTestClient(t, fakeEdges(t, answering(goodResponse("hello")), answering("")))
	c.resolver.servers = []netip.AddrPort{deadServer(t), serveDNS(t, refused).addr, c.resolver.servers[0]}
	if s := request(t, c); s.err != nil || s.attempts != 1 {
		t.Errorf("%+v", s)
	}
}

func TestLaneLeavesAnEdgeThatDNSHasLeft(t *testing.T) {
	noLeaks(t)
	body := goodResponse("hello")
	c := newTestClient(t, fakeEdges(t, answering(body), answering(body)))
	first := request(t, c)
	c.resolver.cached = resolved{}
	c.resolver.next++
	second := request(t, c)
	if first.err != nil || second.err != nil || first.edge == second.edge {
		t.Errorf("%+v, then %+v", first, second)
	}
}

func TestEveryProtocolAndPathIsUsed(t *testing.T) {
	c := &client{paths: []string{"/a", "/b"}, random: rand.New(rand.NewPCG(1, 1))}
	used := map[string]bool{}
	for i := range 3 * apiEvery * 10 {
		used[fmt.Sprint(i%3, c.path(i))] = true
	}
	if len(used) != 9 {
		t.Errorf("protocols and paths: %v", used)
	}
}
