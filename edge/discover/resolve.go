package discover

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// errNoName is the answer that a name does not exist.
var errNoName = errors.New("the name does not exist")

// resolver is a stub resolver: it asks recursive ones. The resolver of package net does not tell TTLs.
type resolver struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	servers func() ([]netip.AddrPort, error)
}

// servers lists the resolvers to ask, the first one first.
func (w *Watcher) servers() ([]netip.AddrPort, error) {
	w.mu.Lock()
	written := w.resolvers
	w.mu.Unlock()
	if len(written) > 0 {
		return written, nil
	}
	conf, err := dns.ClientConfigFromFile(w.conf)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", w.conf, err)
	}
	var list []netip.AddrPort
	for _, s := range conf.Servers {
		if a, err := netip.ParseAddr(s); err == nil {
			list = append(list, netip.AddrPortFrom(a, 53))
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%q names no resolver", w.conf)
	}
	return list, nil
}

// lookup returns the records of a name, an absolute one, after following CNAMEs, and the smallest TTL on the way. A name that exists
// without such records has none and no error; one that does not exist is errNoName.
func (r *resolver) lookup(ctx context.Context, name string, qtype uint16) ([]dns.RR, time.Duration, error) {
	servers, err := r.servers()
	if err != nil {
		return nil, 0, err
	}
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	question.SetEdns0(1232, false)
	for range 2 { // a packet may get lost
		for _, server := range servers {
			var answer *dns.Msg
			if answer, err = r.ask(ctx, server.String(), question); err != nil {
				err = fmt.Errorf("ask %s: %w", server, err)
				continue
			}
			switch answer.Rcode {
			case dns.RcodeSuccess:
				return follow(answer, qtype)
			case dns.RcodeNameError:
				return nil, 0, errNoName
			default:
				err = fmt.Errorf("ask %s: %s", server, dns.RcodeToString[answer.Rcode])
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, 0, err
}

// follow takes the records of the question's name and type out of an answer, by way of CNAMEs (RFC 1034 section 3.6.2).
func follow(answer *dns.Msg, qtype uint16) ([]dns.RR, time.Duration, error) {
	name := answer.Question[0].Name
	ttl := uint32(1<<31 - 1) // RFC 2181 section 8
	for range maxChain + 1 {
		var records []dns.RR
		next := ""
		for _, rr := range answer.Answer {
			h := rr.Header()
			if h.Class != dns.ClassINET || !strings.EqualFold(h.Name, name) {
				continue
			}
			if c, is := rr.(*dns.CNAME); is {
				next, ttl = c.Target, min(ttl, h.Ttl)
			} else if h.Rrtype == qtype {
				records, ttl = append(records, rr), min(ttl, h.Ttl)
			}
		}
		if len(records) > 0 || next == "" {
			return records, time.Duration(ttl) * time.Second, nil
		}
		name = next
	}
	return nil, 0, fmt.Errorf("more than %d CNAMEs follow each other", maxChain)
}

// ask puts a question to one resolver, over TCP too if the answer does not fit into a packet (RFC 7766 section 5).
func (r *resolver) ask(ctx context.Context, server string, question *dns.Msg) (*dns.Msg, error) {
	answer, err := r.exchange(ctx, "udp", server, question)
	if err == nil && answer.Truncated {
		answer, err = r.exchange(ctx, "tcp", server, question)
	}
	return answer, err
}

func (r *resolver) exchange(ctx context.Context, network, server string, question *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := r.dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // its deadline and its end alike
	asked := question.Copy()
	asked.Id = dns.Id()
	packet, err := asked.Pack()
	if err != nil {
		return nil, err
	}
	if network == "tcp" {
		packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
	}
	if _, err := conn.Write(packet); err != nil {
		return nil, timedOut(ctx, err)
	}
	for {
		data, err := receive(conn, network)
		if err != nil {
			return nil, timedOut(ctx, err)
		}
		answer := new(dns.Msg)
		if err := answer.Unpack(data); err == nil && answers(answer, asked) {
			return answer, nil
		} else if network == "tcp" {
			return nil, errors.New("its answer is not one to the question")
		}
		// Whoever can write to our port may send anything: the right answer may still come (RFC 5452 section 9).
	}
}

func timedOut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// receive reads one message.
func receive(conn net.Conn, network string) ([]byte, error) {
	if network == "udp" {
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, buf)
	return buf, err
}

// answers reports whether a message is the answer to a question.
func answers(m, q *dns.Msg) bool {
	return m.Response && m.Id == q.Id && m.Opcode == dns.OpcodeQuery && len(m.Question) == 1 &&
		m.Question[0].Qtype == q.Question[0].Qtype && m.Question[0].Qclass == q.Question[0].Qclass &&
		strings.EqualFold(m.Question[0].Name, q.Question[0].Name)
}
