package dns

import (
	"fmt"

	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Identity is what a server says about itself to whoever asks. Whatever is empty is not told.
type Identity struct {
	NSID    string // in the NSID option (RFC 5001); at most MaxNSID octets
	ID      string // to id.server and hostname.bind, class CHAOS (RFC 4892); at most 255 octets
	Version string // to version.server and version.bind, class CHAOS; at most 255 octets
}

// MaxNSID is the longest NSID in octets.
const MaxNSID = message.MaxNSID

// SetIdentity changes what the server says about itself. It returns an error and changes nothing when i is out of its limits.
func (s *Server) SetIdentity(i Identity) error {
	switch {
	case len(i.NSID) > MaxNSID:
		return fmt.Errorf("nsid of %d octets; at most %d fit", len(i.NSID), MaxNSID)
	case len(i.ID) > 255 || len(i.Version) > 255:
		return fmt.Errorf("id of %d and version of %d octets; at most 255 fit", len(i.ID), len(i.Version))
	}
	s.identity.Store(&i)
	return nil
}

// chaos is the text that answers a question of class CHAOS; empty: none, which is refused (D19).
func (i *Identity) chaos(q *dnswire.Query) string {
	if q.Signed || q.Type != dnswire.TypeTXT && q.Type != dnswire.TypeANY {
		return ""
	}
	switch string(q.Name[:q.NameLen]) {
	case "\x02id\x06server\x00", "\x08hostname\x04bind\x00":
		return i.ID
	case "\x07version\x06server\x00", "\x07version\x04bind\x00":
		return i.Version
	}
	return ""
}

// chaos answers with one TXT record that nobody keeps.
func chaos(dst, packet []byte, c *Client, t Transport, text string) []byte {
	r := c.begin(dst, packet, t)
	r.Authoritative = true
	r.PutText(text)
	c.info = Info{Type: c.query.Type, Truncated: r.Truncated}
	return r.Finish(&c.query, 0)
}
