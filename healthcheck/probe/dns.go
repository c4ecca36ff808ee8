package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/miekg/dns"
)

var (
	errDNSReply   = errors.New("malformed DNS message")
	errDNSAnother = errors.New("answer to another question")
	errDNSLarge   = errors.New("DNS message above 4096 bytes")
)

// ask sends one question and judges the answer. What does not fit into a datagram is asked again over TCP (RFC 7766 section 5).
func (t *attempt) ask(ctx context.Context) Result {
	q := new(dns.Msg)
	q.SetQuestion(t.query.name, t.query.qtype) // a random ID; recursion desired, which an authoritative server ignores
	packed, err := q.Pack()
	if err != nil {
		return t.fail(exchanging, err)
	}
	if _, err := t.conn.Write(packed); err != nil {
		return t.fail(exchanging, err)
	}
	reply, err := t.heard(q)
	if errors.Is(err, syscall.ECONNREFUSED) { // ICMP port unreachable
		return t.fail(connecting, err)
	}
	if err != nil {
		return t.fail(exchanging, err)
	}
	if !reply.Truncated {
		return t.answer(reply)
	}
	_ = t.conn.Close()
	if err := t.open(ctx, "tcp"); err != nil {
		return t.fail(connecting, err)
	}
	defer t.endWith(ctx)()
	if reply, err = t.overTCP(q, packed); err != nil {
		return t.fail(exchanging, err)
	}
	return t.answer(reply)
}

// heard waits for the answer to a question, past some datagrams that are none: anyone can send one.
func (t *attempt) heard(q *dns.Msg) (*dns.Msg, error) {
	buf := make([]byte, maxDNSBytes)
	for range maxStrangers {
		n, err := t.conn.Read(buf)
		if err != nil {
			return nil, err
		}
		reply, err := parseReply(q, buf[:n])
		if !errors.Is(err, errDNSAnother) {
			return reply, err
		}
	}
	return nil, errDNSAnother
}

// overTCP asks on a stream, where a message follows its length (RFC 1035 section 4.2.2).
func (t *attempt) overTCP(q *dns.Msg, packed []byte) (*dns.Msg, error) {
	if _, err := t.conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(t.conn, size[:]); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(size[:]))
	if length > maxDNSBytes {
		return nil, errDNSLarge
	}
	buf := make([]byte, length)
	if _, err := io.ReadFull(t.conn, buf); err != nil {
		return nil, err
	}
	return parseReply(q, buf)
}

// parseReply reads a message and sees that it answers the question (RFC 5452 section 9.1). A server that could not read the
// question need not repeat it.
func parseReply(q *dns.Msg, buf []byte) (*dns.Msg, error) {
	if len(buf) < 2 || binary.BigEndian.Uint16(buf) != q.Id {
		return nil, errDNSAnother
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(buf); err != nil {
		return nil, errDNSReply
	}
	if !reply.Response || reply.Opcode != dns.OpcodeQuery {
		return nil, errDNSAnother
	}
	if len(reply.Question) == 0 && reply.Rcode != dns.RcodeSuccess {
		return reply, nil
	}
	if len(reply.Question) != 1 {
		return nil, errDNSReply
	}
	got, want := reply.Question[0], q.Question[0]
	if got.Qtype != want.Qtype || got.Qclass != want.Qclass || !strings.EqualFold(got.Name, want.Name) {
		return nil, errDNSAnother
	}
	return reply, nil
}

// answer judges the rcode, and the records when the check wants one of them.
func (t *attempt) answer(reply *dns.Msg) Result {
	rcode := rcodeText(reply.Rcode)
	if reply.Rcode != t.query.rcode {
		return t.not(KindStatus, "rcode "+rcode+", want "+rcodeText(t.query.rcode))
	}
	if t.query.answer == nil {
		return t.ok(fmt.Sprintf("%s with %d answers", rcode, len(reply.Answer)))
	}
	got := "none"
	for _, rr := range reply.Answer {
		if rr.Header().Rrtype != t.query.qtype {
			continue
		}
		if got == "none" {
			got = data(rr)
		}
		wanted := dns.Copy(t.query.answer)
		wanted.Header().Name, wanted.Header().Class = rr.Header().Name, rr.Header().Class
		if dns.IsDuplicate(rr, wanted) {
			return t.ok(rcode + " " + data(rr))
		}
	}
	return t.not(KindContent, "no answer "+data(t.query.answer)+", got "+got)
}

// data is the presentation form of a record's data.
func data(rr dns.RR) string { return strings.TrimPrefix(rr.String(), rr.Header().String()) }

func rcodeText(rcode int) string {
	if s, known := dns.RcodeToString[rcode]; known {
		return s
	}
	return fmt.Sprint(rcode)
}

// query is what a DNS probe asks and wants.
type query struct {
	name   string // absolute
	qtype  uint16
	rcode  int
	answer dns.RR // nil: any, or none
}

func newQuery(name, qtype, rcode, answer string) query {
	q := query{name: dns.Fqdn(name), qtype: dns.TypeA}
	if t, known := dns.StringToType[strings.ToUpper(qtype)]; known {
		q.qtype = t
	}
	if r, known := dns.StringToRcode[rcode]; known {
		q.rcode = r
	}
	if answer != "" {
		q.answer, _ = dns.NewRR(". 0 IN " + dns.TypeToString[q.qtype] + " " + answer)
	}
	return q
}

// String writes the question as it is part of a fingerprint.
func (q *query) String() string {
	s := escape(q.name) + " " + dns.TypeToString[q.qtype]
	if q.rcode != dns.RcodeSuccess {
		s += " rcode=" + rcodeText(q.rcode)
	}
	if q.answer != nil {
		s += " answer=" + data(q.answer)
	}
	return s
}
