package probe

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"
)

var (
	errNotFound = errors.New("text not found")
	errCoding   = errors.New("the content coding is neither gzip nor deflate")
)

// find looks for a text that lies wholly inside the first searchBytes of the decoded body. It stops at the text, and returns
// how many bytes it looked at. However much a few bytes decode to, no more than searchBytes of it are ever held.
func find(r answer, text string) (looked int, err error) {
	body, err := decoded(io.LimitReader(r.body, maxBodyBytes), r.encoding)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 0, searchBytes)
	for len(buf) < searchBytes {
		n, err := body.Read(buf[len(buf):searchBytes])
		seen := max(0, len(buf)-len(text)+1) // an occurrence that is new ends in what is new
		buf = buf[:len(buf)+n]
		switch {
		case bytes.Contains(buf[seen:], []byte(text)):
			return len(buf), nil
		case errors.Is(err, io.EOF):
			return len(buf), errNotFound
		case err != nil:
			return len(buf), err
		}
	}
	return len(buf), errNotFound
}

// decoded undoes a content coding (RFC 9110 section 8.4.1). What is called deflate is a zlib stream, but some servers send
// a bare one, which the first two bytes tell apart (RFC 1950 section 2.2).
func decoded(r io.Reader, coding string) (io.Reader, error) {
	switch strings.ToLower(strings.TrimSpace(coding)) {
	case "", "identity":
		return r, nil
	case "gzip", "x-gzip":
		return gzip.NewReader(r)
	case "deflate":
		b := bufio.NewReader(r)
		head, err := b.Peek(2)
		if err == nil && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
			return zlib.NewReader(b)
		}
		return flate.NewReader(b), nil
	}
	return nil, errCoding
}
