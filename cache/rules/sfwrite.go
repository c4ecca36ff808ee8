package rules

import (
	"time"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// AppendItem writes s as an sf-token when it is one, else as an sf-string (RFC 9651 §4.1.6 and §4.1.7).
func AppendItem(dst []byte, s string) []byte {
	if isToken(s) {
		return append(dst, s...)
	}
	return AppendString(dst, s)
}

// AppendString writes s as an sf-string. Bytes that a string may not hold become question marks.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// isToken reports whether s is an sf-token: a letter or asterisk, then token characters, colons and slashes.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c == '*' {
			continue
		}
		if i == 0 || !httpwire.IsTokenByte(c) && c != ':' && c != '/' {
			return false
		}
	}
	return s != ""
}

// FloorSeconds rounds down, so that a fraction of a second past expiry is not a zero.
func FloorSeconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	if d < 0 && d%time.Second != 0 {
		n--
	}
	return n
}
