package transfer_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transfer"
)

const (
	soa1 = "example.org. 60 IN SOA a. b. 1 3600 600 86400 60"
	soa2 = "example.org. 60 IN SOA a. b. 2 3600 600 86400 60"
)

// scripted is a primary that answers each kind of question with records, several messages of them.
type scripted map[uint16][][]string

func (s scripted) dial(t *testing.T) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, network, _ string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			buf := make([]byte, 65537)
			from := 0
			if network == "tcp" {
				from = 2
				if _, err := io.ReadFull(server, buf[:2]); err != nil {
					return
				}
			}
			n, err := server.Read(buf[from:])
			if err != nil {
				return
			}
			var q mdns.Msg
			if err := q.Unpack(buf[from : from+n]); err != nil {
				t.Error(err)
				return
			}
			for _, lines := range s[q.Question[0].Qtype] {
				m := new(mdns.Msg)
				m.SetReply(&q)
				m.Authoritative = true
				for _, line := range lines {
					rr, err := mdns.NewRR(line)
					if err != nil {
						t.Error(err)
						return
					}
					m.Answer = append(m.Answer, rr)
				}
				p, err := m.Pack()
				if err != nil {
					t.Error(err)
					return
				}
				if network == "tcp" {
					p = append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...)
				}
				if _, err := server.Write(p); err != nil {
					return
				}
			}
		}()
		return client, nil
	}
}

func TestTransfersInAreCheckedStrictly(t *testing.T) {
	ns, a := "example.org. 60 IN NS a.", "a.example.org. 60 IN A 192.0.2.1"
	for _, c := range []struct {
		what string
		axfr [][]string
		want string // part of what is logged; empty: it is taken
	}{
		{"several messages", [][]string{{soa1, ns}, {a}, {soa1}}, ""},
		{"no SOA first", [][]string{{ns, soa1, soa1}}, "the first record is not the zone's SOA"},
		{"another SOA last", [][]string{{soa1, ns, soa2}}, "the last SOA is not the first one"},
		{"no SOA last", [][]string{{soa1, ns, a}}, "EOF"},
		{"records behind the end", [][]string{{soa1, ns, soa1, a}}, "records behind the last SOA"},
		{"a record of another zone", [][]string{{soa1, ns, "a.example.net. 60 IN A 192.0.2.1", soa1}}, "outside the zone"},
		{"an SOA in the middle", [][]string{{soa1, ns, "a.example.org. 60 IN SOA a. b. 1 3600 600 86400 60", soa1}}, "the last SOA is not the first one"},
		{"class CH", [][]string{{soa1, ns, `a.example.org. 60 CH TXT "x"`, soa1}}, "a record of class 3"},
		{"too many records", [][]string{{soa1, ns, a, "b" + a, "c" + a, "d" + a, "e" + a, soa1}}, "more than 7 records"},
		{"an empty message", [][]string{{soa1, ns}, {}, {soa1}}, "a message without records"},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logs := &record{}
				s := open(t, transfer.Options{
					Dial: scripted{mdns.TypeAXFR: c.axfr}.dial(t), Log: logs.logger(t), Limits: transfer.Limits{Records: 7},
				}, transfer.Zone{Name: "example.org.", Primaries: []transfer.Peer{{Addr: peer(primaryAddr).Addr}}})
				time.Sleep(time.Second)
				if got := current(s); (got != nil) != (c.want == "") {
					t.Errorf("got %v", got)
				}
				if c.want != "" && !logs.has("zone not refreshed", c.want) {
					t.Errorf("%q is not logged", c.want)
				}
				s.Close()
			})
		})
	}
}

func TestDifferencesThatDoNotFitAreReplacedByTheWholeZone(t *testing.T) {
	ns, a, b := "example.org. 60 IN NS a.", "a.example.org. 60 IN A 192.0.2.1", "b.example.org. 60 IN A 192.0.2.2"
	for _, c := range []struct {
		what string
		ixfr [][]string
		axfr bool
	}{
		{"fits", [][]string{{soa2, soa1, a, soa2}, {b, soa2}}, false},
		{"is the whole zone", [][]string{{soa2, ns, b, soa2}}, false},
		{"removes what is not there", [][]string{{soa2, soa1, b, soa2, b, soa2}}, true},
		{"starts elsewhere", [][]string{{soa2, strings.Replace(soa1, " 1 3600", " 9 3600", 1), a, soa2, b, soa2}}, true},
		{"goes back", [][]string{{soa2, soa1, strings.Replace(soa1, " 1 3600", " 0 3600", 1), b, soa2}}, true},
		{"breaks off", [][]string{{soa2, soa1, a, soa2, b}}, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := scripted{mdns.TypeAXFR: {{soa1, ns, a, soa1}}}
				logs := &record{}
				s := open(t, transfer.Options{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
					return script.dial(t)(ctx, network, addr)
				}, Log: logs.logger(t)}, transfer.Zone{Name: "example.org.", Primaries: []transfer.Peer{{Addr: peer(primaryAddr).Addr}}})
				time.Sleep(10 * time.Second)
				if current(s) == nil {
					t.Fatal("not fetched")
				}
				script[mdns.TypeSOA] = [][]string{{soa2}}
				script[mdns.TypeIXFR] = c.ixfr
				script[mdns.TypeAXFR] = [][]string{{soa2, ns, b, soa2}}
				s.Refresh("example.org.")
				time.Sleep(10 * time.Second)
				got := strings.Split(text(current(s)), "\n")
				if !slices.Equal(got, []string{b, ns}) || current(s).Serial() != 2 {
					t.Errorf("serial %d: %q", current(s).Serial(), got)
				}
				if logs.has("axfr is tried") != c.axfr {
					t.Errorf("tried axfr: %v", !c.axfr)
				}
				s.Close()
			})
		})
	}
}
