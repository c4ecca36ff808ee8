package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transfer/tsig"
	"github.com/meridian-edge/meridian/dns/zone"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// fetch is what is asked of one server.
type fetch struct {
	store *Store
	peer  Peer
	name  []byte
	bytes int64  // received by transfers
	kind  string // of the last transfer
}

// pack makes a query's wire form, signed when the peer has a key.
func (f *fetch) pack(m *mdns.Msg) ([]byte, *tsig.Chain, error) {
	m.Id = uint16(rand.Uint32())
	p, err := m.Pack()
	if err != nil || f.peer.Key == "" {
		return p, nil, err
	}
	chain, err := f.store.ring.Load().Begin(f.peer.Key)
	if err != nil {
		return nil, nil, err
	}
	return chain.Sign(p, time.Now()), chain, nil
}

// exchange sends a query and returns the reply to it. Over UDP, what is no reply to it is passed over: anybody can send it.
func (f *fetch) exchange(ctx context.Context, network string, m *mdns.Msg) (*mdns.Msg, error) {
	packet, chain, err := f.pack(m)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	conn, err := f.store.dial(ctx, network, f.peer.Addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	in := &inbound{conn: conn, chain: chain, query: m}
	if network != "udp" {
		if err := in.write(packet); err != nil {
			return nil, err
		}
		return in.next()
	}
	if _, err := conn.Write(packet); err != nil {
		return nil, err
	}
	buf := make([]byte, 65535)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		attempt := *in
		if chain != nil {
			c := *chain
			attempt.chain = &c
		}
		reply, err := attempt.read(buf[:n])
		if err == nil {
			return reply, nil
		}
		if d, ok := errors.AsType[*tsig.Denial](err); ok && n >= 2 && binary.BigEndian.Uint16(buf) == m.Id {
			return nil, d
		}
	}
}

// serial asks for the zone's SOA (RFC 1034 section 4.3.5), over UDP first.
func (f *fetch) serial(ctx context.Context) (uint32, error) {
	var reply *mdns.Msg
	var err error
	for try := range queryTries + 1 {
		m := new(mdns.Msg)
		m.SetQuestion(textName(f.name), mdns.TypeSOA)
		m.RecursionDesired = false
		network := "udp"
		if try == queryTries {
			network = "tcp"
		}
		reply, err = f.exchange(ctx, network, m)
		if err == nil && reply.Truncated && network == "udp" {
			err = errors.New("the reply is truncated")
		}
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("ask for the SOA: %w", err)
	case reply.Rcode != mdns.RcodeSuccess:
		return 0, fmt.Errorf("ask for the SOA: %w", &rcodeError{reply.Rcode})
	case !reply.Authoritative:
		return 0, errors.New("ask for the SOA: the reply is not authoritative; check that the server has the zone")
	}
	for _, rr := range reply.Answer {
		if soa, ok := rr.(*mdns.SOA); ok && mdns.CanonicalName(soa.Hdr.Name) == mdns.CanonicalName(textName(f.name)) {
			return soa.Serial, nil
		}
	}
	return 0, errors.New("ask for the SOA: there is none in the reply")
}

// fetched is a version that came. data is nil when the one we have is current; steps lead from that one to data, nil when it came whole.
type fetched struct {
	data  *zone.Data
	steps []diff
}

// transfer gets the zone: as a difference to what we have, if we have something, and whole otherwise or when that fails.
func (f *fetch) transfer(ctx context.Context, have *zone.Data) (fetched, error) {
	if have != nil {
		f.kind = "ixfr"
		got, err := f.try(ctx, have)
		if err == nil || ctx.Err() != nil {
			return got, err
		}
		f.store.log.Debug("ixfr did not work, axfr is tried", "zone", textName(f.name), "primary", f.peer.Addr.String(), "err", err)
	}
	f.kind = "axfr"
	return f.try(ctx, nil)
}

func (f *fetch) try(ctx context.Context, have *zone.Data) (got fetched, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.store.limits.TransferTime)
	defer cancel()
	m := new(mdns.Msg)
	m.SetQuestion(textName(f.name), mdns.TypeAXFR)
	m.RecursionDesired = false
	if have != nil {
		m.Question[0].Qtype = mdns.TypeIXFR
		rr, err := soaOf(have).RR()
		if err != nil {
			return got, err
		}
		m.Ns = []mdns.RR{rr}
	}
	packet, chain, err := f.pack(m)
	if err != nil {
		return got, err
	}
	dialing, stopDialing := context.WithTimeout(ctx, dialTimeout)
	defer stopDialing()
	conn, err := f.store.dial(dialing, "tcp", f.peer.Addr.String())
	if err != nil {
		return got, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // a deadline would be moved by the next message
	defer stop()
	in := &inbound{conn: conn, chain: chain, query: m, limits: &f.store.limits}
	defer func() { f.bytes += in.bytes }()
	if err := in.write(packet); err != nil {
		return got, err
	}
	z := &incoming{inbound: in, name: f.name}
	got, err = z.zone(have, f)
	if err != nil {
		return fetched{}, fmt.Errorf("%s: %w", f.kind, err)
	}
	return got, nil
}

// inbound reads the replies to one query.
type inbound struct {
	conn   net.Conn
	chain  *tsig.Chain // nil: unsigned
	query  *mdns.Msg
	limits *Limits // nil: one reply is wanted
	bytes  int64
	buf    []byte
	seen   int // replies
}

func (in *inbound) write(packet []byte) error {
	in.conn.SetWriteDeadline(time.Now().Add(messageTimeout))
	_, err := in.conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...))
	return err
}

// next reads a reply from a stream.
func (in *inbound) next() (*mdns.Msg, error) {
	timeout := messageTimeout
	if in.limits == nil {
		timeout = queryTimeout
	}
	in.conn.SetReadDeadline(time.Now().Add(timeout))
	var head [2]byte
	if _, err := io.ReadFull(in.conn, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if cap(in.buf) < n {
		in.buf = make([]byte, 65535)
	}
	if _, err := io.ReadFull(in.conn, in.buf[:n]); err != nil {
		return nil, err
	}
	in.bytes += int64(2 + n)
	if in.limits != nil && in.bytes > in.limits.Bytes {
		return nil, fmt.Errorf("more than %d octets", in.limits.Bytes)
	}
	return in.read(in.buf[:n])
}

// read checks a reply: its signature first.
func (in *inbound) read(p []byte) (*mdns.Msg, error) {
	if in.chain != nil {
		var err error
		if p, err = in.chain.Verify(p, time.Now()); err != nil {
			return nil, err
		}
	}
	m := new(mdns.Msg)
	if err := m.Unpack(p); err != nil {
		return nil, err
	}
	in.seen++
	q := in.query.Question[0]
	switch {
	case m.Id != in.query.Id || !m.Response || m.Opcode != in.query.Opcode:
		return nil, errors.New("the reply is to something else")
	case len(m.Question) > 1 || len(m.Question) == 0 && in.seen == 1 && m.Rcode == mdns.RcodeSuccess:
		return nil, errors.New("the reply has no question, or several")
	case len(m.Question) == 1 && (m.Question[0].Qtype != q.Qtype || m.Question[0].Qclass != dnswire.ClassIN ||
		mdns.CanonicalName(m.Question[0].Name) != mdns.CanonicalName(q.Name)):
		return nil, errors.New("the reply is to another question")
	}
	return m, nil
}
