package edge_test

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

// rangeBody is long enough for parts of it to be shorter than the whole.
var rangeBody = strings.Repeat("0123456789abcdef", 4096)

// TestR11RangesOverThreeProtocols: several ranges of a stored object are its parts, at most sixteen and never more than the object; what is too much
// or makes no sense gets the whole (RFC 9110 sections 14.2 and 14.6).
func TestR11RangesOverThreeProtocols(t *testing.T) {
	n := start(t, fill(cachingNode, newOrigin(t, "web", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			t.Errorf("the origin is asked for %s", r.Header.Get("Range"))
		}
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Type", "text/x-digits")
		w.Header().Set("ETag", `"a"`)
		_, _ = io.WriteString(w, rangeBody)
	})))
	size := len(rangeBody)
	thousand := make([]string, 1000)
	for i := range thousand {
		thousand[i] = fmt.Sprintf("%d-%d", i, i+9)
	}
	for proto, rt := range threeClients(t, n) {
		t.Run(proto, func(t *testing.T) {
			path := "/ranges/" + proto
			ask(t, n, rt, path, nil)
			for _, test := range []struct {
				name, value string
				status      int
				parts       [][2]int // for 206
			}{
				{"two", "0-1,100-199", 206, [][2]int{{0, 2}, {100, 200}}},
				{"in the client's order", "500-509,0-1", 206, [][2]int{{500, 510}, {0, 2}}},
				{"overlapping", "0-9,5-19,1000-1001", 206, [][2]int{{0, 20}, {1000, 1002}}},
				{"made one", "0-9,5-19", 206, [][2]int{{0, 20}}},
				{"one beyond the end", "0-1,99999999-", 206, [][2]int{{0, 2}}},
				{"suffix beside another", "0-0,-1", 206, [][2]int{{0, 1}, {size - 1, size}}},
				{"sixteen", strings.Repeat("1-1,", 15) + "9-9", 206, [][2]int{{1, 2}, {9, 10}}},
				{"seventeen", strings.Repeat("1-1,", 16) + "9-9", 200, nil},
				{"a thousand", strings.Join(thousand, ","), 200, nil},
				{"the killer", strings.Repeat("0-,", 15) + "0-", 206, [][2]int{{0, size}}},
				{"2^63", "-9223372036854775808", 206, [][2]int{{0, size}}},
				{"nearly all", fmt.Sprintf("0-%d,%d-", size-200, size-100), 200, nil}, // the whole is shorter than its parts
				{"all beyond the end", "9999999-,8888888-8888889", 416, nil},
				{"nonsense", "0-1,5-4", 200, nil},
			} {
				response, body := ask(t, n, rt, path, with("Range: bytes="+test.value))
				if response.StatusCode != test.status || int64(len(body)) != response.ContentLength || len(body) > size+size/10 {
					t.Errorf("%s: %d with %d of %d bytes", test.name, response.StatusCode, len(body), response.ContentLength)
				}
				if !strings.HasPrefix(response.Header.Get("Cache-Status"), "eu1; hit") {
					t.Errorf("%s: %s", test.name, response.Header.Get("Cache-Status"))
				}
				switch test.status {
				case 200:
					if body != rangeBody {
						t.Errorf("%s: not the whole body", test.name)
					}
				case 416:
					if got := response.Header.Get("Content-Range"); got != fmt.Sprintf("bytes */%d", size) {
						t.Errorf("%s: Content-Range %q", test.name, got)
					}
				case 206:
					checkParts(t, test.name, response, body, test.parts)
				}
			}
			for _, fields := range [][]string{with("HEAD", "Range: bytes=0-1,5-6"), with("Range: bytes=0-1,5-6", `If-Range: "b"`)} {
				if response, _ := ask(t, n, rt, path, fields); response.StatusCode != 200 || response.ContentLength != int64(size) {
					t.Errorf("%v: %d, %d bytes", fields, response.StatusCode, response.ContentLength)
				}
			}
		})
	}
}

func checkParts(t *testing.T, name string, response *http.Response, body string, parts [][2]int) {
	t.Helper()
	place := func(p [2]int) string { return fmt.Sprintf("bytes %d-%d/%d", p[0], p[1]-1, len(rangeBody)) }
	if len(parts) == 1 {
		if body != rangeBody[parts[0][0]:parts[0][1]] || response.Header.Get("Content-Range") != place(parts[0]) {
			t.Errorf("%s: %q, %d bytes", name, response.Header.Get("Content-Range"), len(body))
		}
		return
	}
	kind, params, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" || response.Header.Get("Content-Range") != "" {
		t.Errorf("%s: %v, %v", name, response.Header, err)
		return
	}
	r := multipart.NewReader(strings.NewReader(body), params["boundary"])
	for i, want := range parts {
		p, err := r.NextRawPart()
		if err != nil {
			t.Errorf("%s: part %d: %v", name, i, err)
			return
		}
		got, err := io.ReadAll(p)
		if err != nil || string(got) != rangeBody[want[0]:want[1]] || p.Header.Get("Content-Range") != place(want) || p.Header.Get("Content-Type") != "text/x-digits" {
			t.Errorf("%s: part %d: %v, %d bytes, %v", name, i, p.Header, len(got), err)
		}
	}
	if _, err := r.NextRawPart(); err != io.EOF {
		t.Errorf("%s: more than %d parts", name, len(parts))
	}
}
