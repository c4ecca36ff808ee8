package rules

import (
	"strconv"
	"time"
)

// CacheStatus is one member of a Cache-Status field (RFC 9211).
type CacheStatus struct {
	Forward   string        // why the request went on (§2.2); empty: it was a hit
	TTL       time.Duration // of a hit
	Status    int           // of the response to the request that went on; 0: none
	Stored    bool
	Collapsed bool
	Detail    string // empty, or the same as Forward: none
	Key       string // empty: it is not shown
}

// Append appends the member to dst. The node is written as a token when it is one, else as a quoted string.
func (c *CacheStatus) Append(dst []byte, node string) []byte {
	dst = AppendItem(dst, node)
	if c.Forward == "" {
		dst = append(dst, "; hit; ttl="...)
		return c.appendKey(strconv.AppendInt(dst, FloorSeconds(c.TTL), 10))
	}
	dst = append(dst, "; fwd="...)
	dst = append(dst, c.Forward...)
	if c.Status != 0 {
		dst = append(dst, "; fwd-status="...)
		dst = strconv.AppendInt(dst, int64(c.Status), 10)
	}
	if c.Stored {
		dst = append(dst, "; stored"...)
	}
	if c.Collapsed {
		dst = append(dst, "; collapsed"...)
	}
	if c.Detail != "" && c.Detail != c.Forward {
		dst = append(dst, "; detail="...)
		dst = AppendItem(dst, c.Detail)
	}
	return c.appendKey(dst)
}

// appendKey appends the key as a string (§2.7), if it is to be shown.
func (c *CacheStatus) appendKey(dst []byte) []byte {
	if c.Key == "" {
		return dst
	}
	return AppendString(append(dst, "; key="...), c.Key)
}
