package tsig

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// rcodeNotAuth is the response code next to every error of a TSIG (RFC 8945 section 5.3.2).
const rcodeNotAuth = 9

// ErrUnsigned is what Open returns for a message without a TSIG record, and Verify for a reply that had to have one.
var ErrUnsigned = errors.New("the message has no TSIG")

// Denial is why a message was not accepted.
type Denial struct {
	Code  uint16 // FormErr, BadSig, BadKey, BadTime or BadTrunc
	rec   record
	chain *Chain // set when the sender has proved to know the key
}

func (d *Denial) Error() string {
	switch d.Code {
	case BadSig:
		return "BADSIG: the signature does not fit; compare the secrets and the algorithms of both ends"
	case BadKey:
		return "BADKEY: no such key with this algorithm; compare the keys' names and algorithms"
	case BadTime:
		return "BADTIME: the clocks are too far apart; check the time at both ends"
	case BadTrunc:
		return "BADTRUNC: the MAC is shorter than the key allows"
	}
	return "the TSIG record is malformed"
}

// Reply answers the packet that was denied: NOTAUTH with a TSIG that says why, signed when the sender has proved to know the key, and
// FORMERR without any for a malformed record (RFC 8945 section 5.2 and 5.3.2).
func (d *Denial) Reply(packet []byte, now time.Time) []byte {
	reply := header(packet)
	if d.Code == FormErr {
		reply[3] |= byte(FormErr)
		return reply
	}
	reply[3] |= rcodeNotAuth
	rec := record{name: d.rec.name, alg: d.rec.alg, time: d.rec.time, fudge: Fudge, code: d.Code, origID: binary.BigEndian.Uint16(packet)}
	if d.Code == BadTime {
		rec.other = appendTime(nil, uint64(now.Unix()))
	}
	if d.chain != nil {
		return d.chain.sign(reply, rec)
	}
	return rec.append(reply, 0)
}

// header starts a reply with the question of the packet, if it can be read.
func header(packet []byte) []byte {
	reply := append([]byte(nil), packet[:dnswire.HeaderLen]...)
	reply[2] = reply[2]&0x79 | 0x80 // the opcode and RD stay
	reply[3] = 0
	clear(reply[4:])
	if binary.BigEndian.Uint16(packet[4:]) == 1 {
		if end := skipName(packet, dnswire.HeaderLen); end > 0 && end+4 <= len(packet) {
			reply = append(reply, packet[dnswire.HeaderLen:end+4]...)
			reply[5] = 1
		}
	}
	return reply
}

// Chain is the signatures of one exchange: the request's MAC is covered by the first reply's, and each reply's by the next.
type Chain struct {
	key     *key
	prior   []byte // MAC of the message before
	signed  int    // messages of the replying side so far
	client  bool
	asked   bool // client: the request has been signed
	between [][]byte
}

// Key is the name of the key, in lower case with a final dot.
func (c *Chain) Key() string { return c.key.label }

// Room is how many octets Sign adds to a message.
func (c *Chain) Room() int { return len(c.key.name) + 10 + len(c.key.alg) + 16 + c.key.size }

// Open verifies a request. plain is the packet without its TSIG, in memory of its own, and chain signs the replies. The error is
// ErrUnsigned, or a *Denial.
func (r *Ring) Open(packet []byte, now time.Time) (plain []byte, chain *Chain, err error) {
	rec, found, err := find(packet)
	switch {
	case err != nil:
		return nil, nil, &Denial{Code: FormErr}
	case !found:
		return nil, nil, ErrUnsigned
	}
	k := r.find(rec.name)
	if k == nil || !bytes.Equal(k.alg, rec.alg) {
		return nil, nil, &Denial{Code: BadKey, rec: rec}
	}
	c := &Chain{key: k}
	plain = strip(packet, &rec)
	if code := c.check(plain, &rec, false); code != 0 {
		return nil, nil, &Denial{Code: code, rec: rec}
	}
	c.prior = rec.mac
	// In this order: time and truncation are told only to those who know the key (RFC 8945 section 5.2).
	if apart(rec.time, now) > uint64(min(rec.fudge, Fudge)) {
		return nil, nil, &Denial{Code: BadTime, rec: rec, chain: c}
	}
	if len(rec.mac) < k.min {
		return nil, nil, &Denial{Code: BadTrunc, rec: rec, chain: c}
	}
	c.prior = slices.Clone(rec.mac)
	return plain, c, nil
}

// strip is the message as it was before it was signed, but for its ID.
func strip(packet []byte, rec *record) []byte {
	plain := slices.Clone(packet[:rec.at])
	binary.BigEndian.PutUint16(plain[10:], binary.BigEndian.Uint16(plain[10:])-1)
	return plain
}

// check compares the MAC with what it must be, and returns 0 or a code.
func (c *Chain) check(plain []byte, rec *record, timersOnly bool) uint16 {
	if n := len(rec.mac); n > c.key.size || n < leastMAC(c.key.size) {
		return FormErr // RFC 8945 section 5.2.2.1
	}
	want := c.digest(plain, rec, timersOnly)
	if !hmac.Equal(want[:len(rec.mac)], rec.mac) {
		return BadSig
	}
	return 0
}

// digest is the MAC of a message (RFC 8945 section 4.3).
func (c *Chain) digest(plain []byte, rec *record, timersOnly bool) []byte {
	var parts [][]byte
	if c.prior != nil {
		parts = append(parts, binary.BigEndian.AppendUint16(nil, uint16(len(c.prior))), c.prior)
	}
	parts = append(parts, c.between...)
	parts = append(parts, binary.BigEndian.AppendUint16(nil, rec.origID), plain[2:], rec.variables(timersOnly))
	return c.key.mac(parts...)
}

// apart is how many seconds lie between a record's time and now.
func apart(at uint64, now time.Time) uint64 {
	n := uint64(now.Unix())
	return max(n, at) - min(n, at)
}

// Sign appends a TSIG to a message, which must start at the beginning of msg, and returns it.
func (c *Chain) Sign(msg []byte, now time.Time) []byte {
	return c.sign(msg, record{time: uint64(now.Unix()), fudge: Fudge, origID: binary.BigEndian.Uint16(msg)})
}

func (c *Chain) sign(msg []byte, rec record) []byte {
	rec.name, rec.alg = c.key.name, c.key.alg
	rec.mac = c.digest(msg, &rec, c.signed > 0)
	if c.client {
		c.asked = true
	} else {
		c.signed++
	}
	c.prior = rec.mac
	return rec.append(msg, 0)
}

// Begin starts the exchange of a client. It fails when there is no such key.
func (r *Ring) Begin(name string) (*Chain, error) {
	w, err := wire(name)
	if err != nil {
		return nil, err
	}
	k := r.find(w)
	if k == nil {
		return nil, fmt.Errorf("no key %q", name)
	}
	return &Chain{key: k, client: true}, nil
}

// Verify checks one reply of a server and returns it without its TSIG. The first must be signed; of those that follow, 99 in a row may
// come without (RFC 8945 section 5.3.1): Whole tells whether the last one was. The error is ErrUnsigned, or a *Denial whose Code may be
// the server's own.
func (c *Chain) Verify(reply []byte, now time.Time) ([]byte, error) {
	rec, found, err := find(reply)
	switch {
	case err != nil:
		return nil, &Denial{Code: FormErr}
	case !found:
		if c.signed == 0 || len(c.between) >= mostUnsigned {
			return nil, ErrUnsigned
		}
		c.between = append(c.between, slices.Clone(reply))
		return reply, nil
	case !bytes.Equal(rec.name, c.key.name) || !bytes.Equal(rec.alg, c.key.alg):
		return nil, &Denial{Code: BadKey, rec: rec}
	case len(rec.mac) == 0 && (rec.code == BadSig || rec.code == BadKey):
		return nil, &Denial{Code: rec.code, rec: rec} // nobody has signed this, so it must be taken as no more than a hint
	}
	plain := strip(reply, &rec)
	if code := c.check(plain, &rec, c.signed > 0); code != 0 {
		return nil, &Denial{Code: code, rec: rec}
	}
	if rec.code != 0 {
		return nil, &Denial{Code: rec.code, rec: rec}
	}
	if apart(rec.time, now) > uint64(min(rec.fudge, Fudge)) {
		return nil, &Denial{Code: BadTime, rec: rec}
	}
	if len(rec.mac) < c.key.min {
		return nil, &Denial{Code: BadTrunc, rec: rec}
	}
	c.prior, c.between = slices.Clone(rec.mac), nil
	c.signed++
	return plain, nil
}

// Whole reports whether every message that was verified so far is covered by a signature: the last one of a transfer must be.
func (c *Chain) Whole() bool { return c.signed > 0 && len(c.between) == 0 }
