package origin

import (
	"bytes"
	"errors"
	"fmt"
)

// errProtocol is wrapped by every reason for which a response is refused.
var errProtocol = errors.New("response breaks HTTP/1.1")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errProtocol, fmt.Sprintf(format, args...))
}

// phase is where in a response a framer is.
type phase uint8

const (
	inHead phase = iota
	inFixed
	inChunkSize
	inChunkData
	inChunkEnd // the CRLF behind chunk data
	inTrailer
	inUntilClose
	inDone
)

// framer follows the bytes of one response and knows where it ends. It is stricter than net/http and keeps nothing but the
// head and one line. The zero value expects the response to a method other than HEAD.
type framer struct {
	headless bool // the response to HEAD has no body
	phase    phase
	left     int64  // bytes of the body or the chunk still to come
	line     []byte // the head, or a chunk-size or trailer line, as far as it is there
	head     int    // bytes of heads so far
	interim  int    // informational responses so far
	trailer  int    // bytes of trailer lines so far
}

// reset prepares for the response to a request.
func (f *framer) reset(method string) {
	*f = framer{headless: method == "HEAD", line: f.line[:0]}
}

// feed takes the next bytes of the connection and returns how many belong to the response. Fewer than len(p) means that the
// response ended before the bytes did.
func (f *framer) feed(p []byte) (int, error) {
	n := 0
	for n < len(p) && f.phase != inDone {
		used, err := f.advance(p[n:])
		if err != nil {
			return n, err
		}
		n += used
	}
	return n, nil
}

// advance consumes bytes of one phase.
func (f *framer) advance(p []byte) (int, error) {
	switch f.phase {
	case inHead:
		return f.feedHead(p)
	case inFixed, inChunkData:
		n := int(min(int64(len(p)), f.left))
		if f.left -= int64(n); f.left == 0 {
			if f.phase == inFixed {
				f.phase = inDone
			} else {
				f.phase = inChunkEnd
			}
		}
		return n, nil
	case inUntilClose:
		return len(p), nil
	}
	return f.feedLine(p)
}

// feedHead collects a head and, when it is complete, decides how the body is framed (RFC 9112 section 6.3).
func (f *framer) feedHead(p []byte) (int, error) {
	from := max(0, len(f.line)-3) // the end of the head may lie across two reads
	f.line = append(f.line, p...)
	end := bytes.Index(f.line[from:], []byte("\r\n\r\n"))
	if end < 0 {
		if f.head+len(f.line) > maxHeadBytes {
			return 0, broken("head is longer than %d bytes", maxHeadBytes)
		}
		// A head that ends in bare LF would never be found to end.
		if bytes.Contains(f.line[from:], []byte("\n\n")) {
			return 0, broken("bare LF in the head")
		}
		return len(p), nil
	}
	size := from + end + 4
	used := len(p) - (len(f.line) - size)
	if f.head += size; f.head > maxHeadBytes {
		return 0, broken("head is longer than %d bytes", maxHeadBytes)
	}
	h, err := parseHead(f.line[:size-2])
	f.line = f.line[:0]
	if err != nil {
		return 0, err
	}
	return used, f.begin(h)
}

// begin sets the phase that follows a head.
func (f *framer) begin(h responseHead) error {
	switch {
	case h.status == 101:
		return broken("101 without an upgrade")
	case h.status < 200:
		if f.interim++; f.interim > maxInterim {
			return broken("more than %d informational responses", maxInterim)
		}
	case f.headless || h.status == 204 || h.status == 304 || h.length == 0 && !h.chunked:
		f.phase = inDone
	case h.chunked:
		f.phase = inChunkSize
	case h.length > 0:
		f.phase, f.left = inFixed, h.length
	default:
		f.phase = inUntilClose
	}
	return nil
}

// feedLine collects a line of the chunked coding (RFC 9112 section 7.1).
func (f *framer) feedLine(p []byte) (int, error) {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		f.line = append(f.line, p...)
		if len(f.line) > maxChunkLine {
			return 0, broken("line longer than %d bytes in a chunked body", maxChunkLine)
		}
		return len(p), nil
	}
	f.line = append(f.line, p[:i+1]...)
	line := f.line
	f.line = f.line[:0]
	if len(line) > maxChunkLine || len(line) < 2 || line[len(line)-2] != '\r' {
		return 0, broken("malformed line in a chunked body")
	}
	return i + 1, f.endLine(line[:len(line)-2])
}

func (f *framer) endLine(line []byte) error {
	switch f.phase {
	case inChunkEnd:
		if len(line) != 0 {
			return broken("chunk is longer than its size")
		}
		f.phase = inChunkSize
	case inChunkSize:
		size, err := chunkSize(line)
		if err != nil {
			return err
		}
		if f.phase, f.left = inChunkData, size; size == 0 {
			f.phase = inTrailer
		}
	case inTrailer:
		if len(line) == 0 {
			f.phase = inDone
			return nil
		}
		if f.trailer += len(line) + 2; f.trailer > maxTrailerBytes {
			return broken("trailer section is longer than %d bytes", maxTrailerBytes)
		}
		_, _, err := fieldLine(line)
		return err
	}
	return nil
}

// chunkSize parses a chunk-size line. Extensions are dropped, but must not hide control bytes (attack rows S15, S16).
func chunkSize(line []byte) (int64, error) {
	digits, extension, _ := bytes.Cut(line, []byte(";"))
	if len(extension) > 0 || len(digits) < len(line) {
		digits = bytes.TrimRight(digits, " \t") // RFC 9112 section 7.1.1: BWS before an extension
	}
	if len(digits) == 0 || len(digits) > 15 {
		return 0, broken("malformed chunk size %q", line)
	}
	var size int64
	for _, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, broken("malformed chunk size %q", line)
		}
		size = size<<4 | int64(c)
	}
	if !cleanValue(extension) {
		return 0, broken("control byte in a chunk extension")
	}
	return size, nil
}
