package std

import (
	"math/rand/v2"
	"time"
)

// crockford is base 32 without letters that look like digits.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// newID makes a request id: 48 bits of milliseconds, then 80 random bits, in 26 characters that sort by time.
func newID() string {
	hi := uint64(time.Now().UnixMilli())<<16 | rand.Uint64()>>48
	lo := rand.Uint64()
	var b [26]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(b[:])
}
