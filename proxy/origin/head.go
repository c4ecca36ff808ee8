package origin

import (
	"bytes"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// responseHead is what framing depends on.
type responseHead struct {
	status  int
	length  int64 // -1: not stated
	chunked bool
}

// parseHead checks a head without its final empty line, each line with its CRLF.
func parseHead(b []byte) (responseHead, error) {
	h := responseHead{length: -1}
	line, rest, err := cutLine(b)
	if err != nil {
		return h, err
	}
	minor, err := h.statusLine(line)
	if err != nil {
		return h, err
	}
	for len(rest) > 0 {
		if line, rest, err = cutLine(rest); err != nil {
			return h, err
		}
		name, value, err := fieldLine(line)
		if err != nil {
			return h, err
		}
		switch httpwire.Identify(string(name)) {
		case httpwire.ContentLength:
			if err := h.setLength(value); err != nil {
				return h, err
			}
		case httpwire.TransferEncoding:
			if h.chunked || minor == 0 || !bytes.EqualFold(value, []byte("chunked")) {
				return h, broken("Transfer-Encoding %q is not understood here", value)
			}
			h.chunked = true
		}
	}
	if h.chunked && h.length >= 0 {
		return h, broken("both Transfer-Encoding and Content-Length") // RFC 9112 section 6.3
	}
	return h, nil
}

// statusLine parses "HTTP/1.x nnn reason" and returns x.
func (h *responseHead) statusLine(line []byte) (minor int, err error) {
	const shortest = "HTTP/1.1 200"
	if len(line) < len(shortest) || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' ||
		len(line) > len(shortest) && line[12] != ' ' || !cleanValue(line) {
		return 0, broken("malformed status line %.40q", line)
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0, broken("malformed status line %.40q", line)
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 || h.status > 599 {
		return 0, broken("status %d", h.status)
	}
	return int(line[7] - '0'), nil
}

func (h *responseHead) setLength(value []byte) error {
	if h.length >= 0 {
		return broken("repeated Content-Length")
	}
	if len(value) == 0 || len(value) > 18 {
		return broken("malformed Content-Length %q", value)
	}
	h.length = 0
	for _, c := range value {
		if c < '0' || c > '9' {
			return broken("malformed Content-Length %q", value)
		}
		h.length = h.length*10 + int64(c-'0')
	}
	return nil
}

// cutLine takes the first line off b; it must end in CRLF and have no other CR or LF.
func cutLine(b []byte) (line, rest []byte, err error) {
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return nil, nil, broken("bare LF in the head")
	}
	return b[:i-1], b[i+1:], nil
}

// fieldLine splits a field line (RFC 9112 section 5): no folding, no space before the colon.
func fieldLine(line []byte) (name, value []byte, err error) {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found || len(name) == 0 {
		return nil, nil, broken("malformed field line %.40q", line)
	}
	for _, c := range name {
		if !httpwire.IsTokenByte(c) {
			return nil, nil, broken("malformed field name %.40q", name)
		}
	}
	value = bytes.Trim(value, " \t")
	if !cleanValue(value) {
		return nil, nil, broken("control byte in the value of %.40q", name)
	}
	return name, value, nil
}

// cleanValue reports whether v has no control bytes but tabs (RFC 9110 section 5.5).
func cleanValue(v []byte) bool {
	for _, c := range v {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
