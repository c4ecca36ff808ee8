// Package tsig signs and verifies DNS messages with shared secrets (RFC 8945).
//
//	plain, chain, err := ring.Open(packet, time.Now()) // server: verify a request
//	reply = chain.Sign(reply, time.Now())              // each reply, in order
//
//	chain, err := ring.Begin("key.example.org.")       // client
//	request = chain.Sign(request, time.Now())
//	plain, err := chain.Verify(reply, time.Now())      // each reply, in order
//
// A Ring never changes and is safe for concurrent use; a Chain belongs to one exchange.
package tsig

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"
)

// Fudge is how far the clocks of the two ends may be apart, in seconds (RFC 8945 section 10).
const Fudge = 300

// mostUnsigned is how many messages of a transfer may come without a signature between two with one (RFC 8945 section 5.3.1).
const mostUnsigned = 99

// The codes of a TSIG record's error field (RFC 8945 section 3), and FormErr for a message whose TSIG cannot be read.
const (
	FormErr  uint16 = 1
	BadSig   uint16 = 16
	BadKey   uint16 = 17
	BadTime  uint16 = 18
	BadTrunc uint16 = 22
)

// Key is a shared secret.
type Key struct {
	Name      string // a domain name; case does not matter
	Algorithm string // hmac-sha1, -sha224, -sha256, -sha384 or -sha512; empty: hmac-sha256
	Secret    []byte // not base64; must not be empty
	// MinMAC is how many octets of a truncated MAC are enough. 0: all; anything less gets BADTRUNC. It cannot be below 10 or half of
	// the hash (RFC 8945 section 5.2.2.1).
	MinMAC int
}

// key is a Key ready for use.
type key struct {
	label     string
	name, alg []byte // wire form, lower case
	secret    []byte
	hash      func() hash.Hash
	size, min int // octets of the hash, and how many of them a request must show
}

// Ring holds the keys that are known. The nil Ring knows none.
type Ring struct{ keys map[string]*key }

// NewRing checks the keys. Two of one name, an unknown algorithm, an empty secret or a MinMAC that the RFC forbids are errors, all of
// which are reported.
func NewRing(keys []Key) (*Ring, error) {
	r := &Ring{keys: map[string]*key{}}
	var errs []error
	for _, k := range keys {
		made, err := newKey(k)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("key %q: %w", k.Name, err))
		case r.keys[string(made.name)] != nil:
			errs = append(errs, fmt.Errorf("key %q: given twice", k.Name))
		default:
			r.keys[string(made.name)] = made
		}
	}
	return r, errors.Join(errs...)
}

func newKey(k Key) (*key, error) {
	algorithm := strings.ToLower(strings.TrimSuffix(k.Algorithm, "."))
	if algorithm == "" {
		algorithm = "hmac-sha256"
	}
	made := &key{secret: slices.Clone(k.Secret)}
	switch algorithm {
	case "hmac-sha1":
		made.hash, made.size = sha1.New, sha1.Size
	case "hmac-sha224":
		made.hash, made.size = sha256.New224, sha256.Size224
	case "hmac-sha256":
		made.hash, made.size = sha256.New, sha256.Size
	case "hmac-sha384":
		made.hash, made.size = sha512.New384, sha512.Size384
	case "hmac-sha512":
		made.hash, made.size = sha512.New, sha512.Size
	default:
		return nil, fmt.Errorf("unknown algorithm %q: use hmac-sha256, hmac-sha384, hmac-sha512, hmac-sha224 or hmac-sha1", k.Algorithm)
	}
	if len(k.Secret) == 0 {
		return nil, errors.New("the secret is empty")
	}
	switch least := leastMAC(made.size); {
	case k.MinMAC == 0:
		made.min = made.size
	case k.MinMAC < least || k.MinMAC > made.size:
		return nil, fmt.Errorf("a shortest MAC of %d octets: use %d to %d", k.MinMAC, least, made.size)
	default:
		made.min = k.MinMAC
	}
	var err error
	if made.name, err = wire(k.Name); err != nil {
		return nil, err
	}
	made.label = mdns.CanonicalName(k.Name)
	made.alg, err = wire(algorithm)
	return made, err
}

// leastMAC is the shortest truncation the RFC allows for a hash of so many octets.
func leastMAC(size int) int { return max(10, (size+1)/2) }

func wire(name string) ([]byte, error) {
	buf := make([]byte, 256)
	end, err := mdns.PackDomainName(mdns.CanonicalName(name), buf, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("%q is no domain name: %w", name, err)
	}
	return buf[:end:end], nil
}

// Has reports whether a key of this name is known.
func (r *Ring) Has(name string) bool {
	w, err := wire(name)
	return err == nil && r.find(w) != nil
}

func (r *Ring) find(name []byte) *key {
	if r == nil {
		return nil
	}
	return r.keys[string(name)]
}

// mac computes the whole MAC over what the parts say.
func (k *key) mac(parts ...[]byte) []byte {
	h := hmac.New(k.hash, k.secret)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
