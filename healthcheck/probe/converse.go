package probe

import (
	"bytes"
	"errors"
	"io"
	"syscall"
)

// converse sends what the check sends and waits for the reply it wants, on a stream. Without either, being here is success,
// and what names it.
func (t *attempt) converse(what string) Result {
	if len(t.send) > 0 {
		if _, err := t.conn.Write([]byte(t.send)); err != nil {
			return t.fail(exchanging, err)
		}
	}
	if len(t.send) == 0 && len(t.reply) == 0 {
		return t.ok(what)
	}
	buf := make([]byte, 0, maxReplyBytes)
	for len(buf) < maxReplyBytes {
		n, err := t.conn.Read(buf[len(buf):maxReplyBytes])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > 0 && t.answered(buf):
			return t.ok("reply " + quote(buf))
		case errors.Is(err, io.EOF) && len(buf) > 0:
			return t.lacking(buf)
		case err != nil:
			return t.got(t.fail(exchanging, err), buf)
		}
	}
	return t.lacking(buf)
}

// datagram sends one and judges the one that comes back.
func (t *attempt) datagram() Result {
	if _, err := t.conn.Write([]byte(t.send)); err != nil {
		return t.fail(exchanging, err)
	}
	buf := make([]byte, maxReplyBytes)
	n, err := t.conn.Read(buf)
	if errors.Is(err, syscall.ECONNREFUSED) { // a port without a server says so now (ICMP port unreachable)
		return t.fail(connecting, err)
	}
	if err != nil {
		return t.fail(exchanging, err)
	}
	if !t.answered(buf[:n]) {
		return t.lacking(buf[:n])
	}
	return t.ok("reply " + quote(buf[:n]))
}

// answered reports whether a reply holds what is wanted; any does when nothing is.
func (t *attempt) answered(reply []byte) bool { return bytes.Contains(reply, []byte(t.reply)) }

func (t *attempt) lacking(reply []byte) Result {
	return t.not(KindContent, "reply "+quote(reply)+" lacks "+quote([]byte(t.reply)))
}

// got adds to a failure what came before it.
func (t *attempt) got(r Result, reply []byte) Result {
	if len(reply) > 0 {
		r.Reason = Clean(r.Reason + ", got " + quote(reply))
	}
	return r
}
