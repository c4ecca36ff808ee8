package origin

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

// feedAll gives b to a framer in steps of n bytes and returns how many bytes the response has.
func feedAll(f *framer, b []byte, n int) (int, error) {
	total := 0
	for len(b) > 0 {
		step := b[:min(n, len(b))]
		used, err := f.feed(step)
		total += used
		if err != nil || used < len(step) {
			return total, err
		}
		b = b[len(step):]
	}
	return total, nil
}

func seeds(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiX",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nX: y\r\n\r\nX",
		"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nuntil the end",
		"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
}

// FuzzFramerIsSplitProof: where a stream is cut into reads makes no difference.
func FuzzFramerIsSplitProof(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte, head bool) {
		whole := framer{headless: head}
		n, err := feedAll(&whole, b, len(b)+1)
		for _, step := range []int{1, 3, 7} {
			cut := framer{headless: head}
			m, cutErr := feedAll(&cut, b, step)
			if (err == nil) != (cutErr == nil) || err == nil && (n != m || whole.phase != cut.phase) {
				t.Fatalf("whole: %d, %v, phase %d; in steps of %d: %d, %v, phase %d", n, err, whole.phase, step, m, cutErr, cut.phase)
			}
		}
	})
}

// FuzzFramerAgreesWithNetHTTP: a response that the framer calls complete is complete for net/http, to the byte.
func FuzzFramerAgreesWithNetHTTP(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte, head bool) {
		fr := framer{headless: head}
		n, err := feedAll(&fr, b, len(b)+1)
		if err != nil || fr.phase != inDone {
			return
		}
		request := &http.Request{Method: "GET"}
		if head {
			request.Method = "HEAD"
		}
		br := bufio.NewReader(bytes.NewReader(b[:n]))
		response, err := http.ReadResponse(br, request)
		for err == nil && response.StatusCode < 200 {
			response, err = http.ReadResponse(br, request)
		}
		if err != nil {
			return // net/http refuses more in places; that is the same fault
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatalf("net/http misses something: %v in %q", err, b[:n])
		}
		if rest, _ := io.ReadAll(br); len(rest) > 0 {
			t.Fatalf("net/http leaves %q of %q", rest, b[:n])
		}
	})
}
