package nameserver

import (
	"fmt"
	"io"
)

// stars is what a Secret is printed as.
const stars = "***"

// Secret is bytes that never show: whatever prints or encodes one writes stars. The zero Secret is empty. Secrets are compared with
// ==, which takes a time that depends on them: never compare one with what a client sent.
type Secret struct{ bytes string }

// NewSecret returns a Secret of a copy of b.
func NewSecret(b []byte) Secret { return Secret{string(b)} }

// Reveal returns a copy of the bytes.
func (s Secret) Reveal() []byte { return []byte(s.bytes) }

// Len is the number of bytes.
func (s Secret) Len() int { return len(s.bytes) }

// String returns stars.
func (s Secret) String() string { return stars }

// Format writes stars for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, stars) }

// MarshalText returns stars.
func (s Secret) MarshalText() ([]byte, error) { return []byte(stars), nil }
