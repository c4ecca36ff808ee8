package edge_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// oddRows are rows about spellings: what a field that is odd, repeated or broken comes to.
var oddRows = []row{
	// Cache-Control, RFC 9111 5.2 and 4.2.1
	{"5.2 upper case", "", 0, with("Cache-Control: MAX-AGE=60"), nil, nil, nil, stored},
	{"5.2 commas at both ends", "", 0, with("Cache-Control: ,, max-age=60,,"), nil, nil, nil, stored},
	{"5.2 tabs", "", 0, with("Cache-Control: public\t,\tmax-age=60"), nil, nil, nil, stored},
	{"5.2 a directive within quotes", "", 0, with(`Cache-Control: a="max-age=60", max-age=0`), nil, nil, nil, again},
	{"5.2 a directive within quotes after the one that counts", "", 0, with(`Cache-Control: max-age=60, a="b, no-store"`), nil, nil, nil, stored},
	{"5.2 an escaped quote", "", 0, with(`Cache-Control: a="\", no-store", max-age=60`), nil, nil, nil, stored},
	{"5.2 an open quote", "", 0, with(`Cache-Control: max-age=60, a="b`), nil, nil, nil, again},
	{"5.2 single quotes", "", 0, with("Cache-Control: max-age='60'"), nil, nil, nil, again},
	{"5.2 names that only begin alike", "", 0, with("Cache-Control: max-age=60, max-age2=0, no-storex, xprivate"), nil, nil, nil, stored},
	{"5.2 lines are one field", "", 0, with("Cache-Control: max-age=60", "Cache-Control: no-store"), nil, nil, nil, again},
	{"1.2.2 leading zeros", "", 0, with("Cache-Control: max-age=0060"), nil, nil, nil, stored},
	{"1.2.2 2^31", "", 0, with("Cache-Control: max-age=2147483648"), nil, nil, nil, stored},
	{"1.2.2 2^63", "", 0, with("Cache-Control: max-age=9223372036854775808"), nil, nil, nil, stored},
	{"1.2.2 2^64 and 1", "", 0, with("Cache-Control: max-age=18446744073709551617"), nil, nil, nil, stored},
	{"4.2.1 negative", "", 0, with("Cache-Control: max-age=-60"), nil, nil, nil, again},
	{"4.2.1 signed", "", 0, with("Cache-Control: max-age=+60"), nil, nil, nil, again},
	{"4.2.1 decimal", "", 0, with("Cache-Control: max-age=60.0"), nil, nil, nil, again},
	{"4.2.1 with a parameter", "", 0, with("Cache-Control: max-age=60;a=b"), nil, nil, nil, again},
	{"4.2.1 no value", "", 0, with("Cache-Control: max-age"), nil, nil, nil, again},
	{"4.2.1 empty", "", 0, with("Cache-Control: max-age="), nil, nil, nil, again},
	{"4.2.1 space before the sign", "", 0, with("Cache-Control: max-age =60"), nil, nil, nil, again},
	{"4.2.1 space after the sign", "", 0, with("Cache-Control: max-age= 60"), nil, nil, nil, again},
	{"4.2.1 repeated in a line", "", 0, with("Cache-Control: max-age=0, max-age=60"), nil, nil, nil, again},
	{"4.2.1 max-age=0 before Expires", "", 0, with("Cache-Control: max-age=0", "Expires: NOW+1h"), nil, nil, nil, again},
	{"4.2.1 s-maxage=0 before max-age", "", 0, with("Cache-Control: max-age=60, s-maxage=0"), nil, nil, nil, again},
	{"5.2.2.5 no-store with a value", "", 0, with("Cache-Control: max-age=60, no-store=1"), nil, nil, nil, again},
	// Expires, 4.2 and 5.3
	{"4.2 case of a date", "", 0, with("Expires: thu, 18 AUG 2089 02:01:18 gmt"), nil, nil, nil, stored},
	{"4.2 RFC 850", "", 0, with("Expires: Thursday, 18-Aug-50 02:01:18 GMT"), nil, nil, nil, stored},
	{"4.2 asctime", "", 0, with("Expires: Thu Aug 18 02:01:18 2089"), nil, nil, nil, stored},
	{"4.2 another zone", "", 0, with("Expires: Thu, 18 Aug 2089 02:01:18 UTC"), nil, nil, nil, again},
	{"4.2 an offset", "", 0, with("Expires: Thu, 18 Aug 2089 02:01:18 +0000"), nil, nil, nil, again},
	{"5.3 two digits of a year", "", 0, with("Expires: Thu, 18 Aug 89 02:01:18 GMT"), nil, nil, nil, again},
	{"5.3 no comma", "", 0, with("Expires: Thu 18 Aug 2089 02:01:18 GMT"), nil, nil, nil, again},
	{"5.3 one digit of an hour", "", 0, with("Expires: Thu, 18 Aug 2089 2:01:18 GMT"), nil, nil, nil, again},
	{"5.3 lines that differ", "", 0, with("Expires: NOW+1h", "Expires: NOW-1h"), nil, nil, nil, again},
	{"5.3 before Date", "", 0, with("Expires: NOW+1h", "Date: NOW+2h"), nil, nil, nil, again},
	{"9110 6.6.1 a Date that is none", "", 0, with("Expires: NOW+1h", "Date: yesterday"), nil, nil, nil, stored},
	// Age, 5.1
	{"5.1 the first member", "", 0, with("Cache-Control: max-age=60", "Age: 120, 0"), nil, nil, nil, again},
	{"5.1 the first line", "", 0, with("Cache-Control: max-age=60", "Age: 120", "Age: 0"), nil, nil, nil, again},
	{"5.1 no number", "", 0, with("Cache-Control: max-age=60", "Age: abc"), nil, nil, nil, stored},
	{"5.1 negative", "", 0, with("Cache-Control: max-age=60", "Age: -120"), nil, nil, nil, stored},
	{"5.1 decimal", "", 0, with("Cache-Control: max-age=60", "Age: 120.0"), nil, nil, nil, stored},
	{"5.1 quoted", "", 0, with("Cache-Control: max-age=60", `Age: "120"`), nil, nil, nil, stored},
	{"5.1 with a parameter", "", 0, with("Cache-Control: max-age=60", "Age: 120;a=b"), nil, nil, nil, stored},
	{"5.1 2^64 and 1", "", 0, with("Cache-Control: max-age=60", "Age: 18446744073709551617"), nil, nil, nil, again},
	// Vary, 4.1
	{"4.1 a star among others", "", 0, with("Cache-Control: max-age=60", "Vary: X-A, *"), nil, nil, nil, again},
	{"4.1 a star in a second line", "", 0, with("Cache-Control: max-age=60", "Vary: X-A", "Vary: *"), nil, nil, nil, again},
	{"4.1 lines are one list", "", 0, with("Cache-Control: max-age=60", "Vary: X-A", "Vary: X-B"), with("X-A: 1", "X-B: 1"), nil, with("X-A: 1", "X-B: 2"), again},
	{"4.1 whitespace around commas", "", 0, with("Cache-Control: max-age=60", "Vary: X-A"), with("X-A: 1,2"), nil, with("X-A: 1 ,  2"), stored},
	{"4.1 lines of the request", "", 0, with("Cache-Control: max-age=60", "Vary: X-A"), with("X-A: 1, 2"), nil, with("X-A: 1", "X-A: 2"), stored},
	{"4.1 order of languages", "", 0, with("Cache-Control: max-age=60", "Vary: Accept-Language"), with("Accept-Language: en, de;q=0.5"), nil, with("Accept-Language: DE;q=0.5,en"), stored},
	{"4.1 weights of languages", "", 0, with("Cache-Control: max-age=60", "Vary: Accept-Language"), with("Accept-Language: en, de;q=0.5"), nil, with("Accept-Language: en;q=0.5, de"), again},
	{"4.1 case of a value", "", 0, with("Cache-Control: max-age=60", "Vary: X-A"), with("X-A: a"), nil, with("X-A: A"), again},
	{"4.1 cookies are no list", "", 0, with("Cache-Control: max-age=60", "Vary: Cookie"), with("Cookie: a=b,c"), nil, with("Cookie: a=b, c"), again},
	// Conditions, 4.3.2
	{"4.3.2 a list of tags", "", 0, with("Cache-Control: max-age=60", `ETag: "a,b"`), nil, nil, with(`If-None-Match: , "c",W/"a,b"`), joined},
	{"4.3.2 a part of a tag", "", 0, with("Cache-Control: max-age=60", `ETag: "a,b"`), nil, nil, with(`If-None-Match: "a"`), stored},
	{"4.3.2 a tag without quotes", "", 0, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with("If-None-Match: a"), stored},
	{"4.3.2 any", "", 0, fresh, nil, nil, with("If-None-Match: *"), joined},
	{"4.3.2 If-Modified-Since, later", "", 0, with("Cache-Control: max-age=60", "Last-Modified: Fri, 31 Dec 1999 00:00:00 GMT"), nil, nil, with("If-Modified-Since: Saturday, 01-Jan-00 00:00:00 GMT"), joined},
	{"4.3.2 If-Modified-Since, earlier", "", 0, with("Cache-Control: max-age=60", "Last-Modified: Fri, 31 Dec 1999 00:00:00 GMT"), nil, nil, with("If-Modified-Since: Thu, 30 Dec 1999 00:00:00 GMT"), stored},
	{"4.3.2 If-Modified-Since, no date", "", 0, with("Cache-Control: max-age=60", "Last-Modified: Fri, 31 Dec 1999 00:00:00 GMT"), nil, nil, with("If-Modified-Since: now"), stored},
	{"4.3.2 only a 200 is confirmed", "", 404, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with(`If-None-Match: "a"`), stored},
	{"4.3.2 If-Unmodified-Since is the origin's", "", 0, fresh, nil, nil, with("If-Unmodified-Since: Fri, 31 Dec 1999 00:00:00 GMT"), again},
	{"9110 14.2 another unit", "", 0, fresh, nil, nil, with("Range: lines=1-2"), stored},
	{"9110 14.2 a range that is none", "", 0, fresh, nil, nil, with("Range: bytes=2-1"), stored},
	{"9110 13.1.5 If-Range that is neither", "", 0, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with("Range: bytes=1-2", "If-Range: a"), stored},
	{"9110 13.1.5 If-Range, strong", "", 0, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with("Range: bytes=1-2", `If-Range: "a"`), joined},
	// Methods and statuses
	{"3 OPTIONS is not stored", "", 0, fresh, with("OPTIONS"), nil, nil, again},
	{"3 a method nobody knows is not stored", "", 0, fresh, with("FROB"), nil, nil, again},
	{"4.4 M-SEARCH removes", "", 0, fresh, nil, with("M-SEARCH"), nil, again},
	{"4.4 a redirect removes", "", 303, fresh, nil, with("POST"), nil, again},
	{"4.4 not found does not", "", 404, fresh, nil, with("DELETE"), nil, stored},
	{"3 499", "", 499, fresh, nil, nil, nil, stored},
	{"3 299", "", 299, fresh, nil, nil, nil, stored},
	{"3 204", "", 204, fresh, nil, nil, nil, empty},
	{"4.2.2 599 without a word", "", 599, with("Last-Modified: NOW-1000h"), nil, nil, nil, again},
	{"4.2.2 599 and public", "", 599, with("Last-Modified: NOW-1000h", "Cache-Control: public"), nil, nil, nil, stored},
	{"4.2.2 404", "", 404, with("Last-Modified: NOW-1000h"), nil, nil, nil, stored},
	{"3.5 proxy-revalidate does not allow it", "", 0, with("Cache-Control: max-age=60, proxy-revalidate"), with("Authorization: Basic YTpi"), nil, nil, again},
	{"5.2.2.6 no-transform says nothing about storing", "", 0, with("Cache-Control: max-age=60, no-transform"), nil, nil, nil, stored},
	{"5.4 Pragma of a response without Cache-Control", "", 0, with("Expires: NOW+1h", "Pragma: no-cache", `ETag: "a"`), nil, nil, nil, checked},
	// RFC 9213 and RFC 9651
	{"9213 2.1 upper case is no key", "", 0, with("CDN-Cache-Control: Max-Age=60", "Cache-Control: no-store"), nil, nil, nil, again},
	{"9213 2.1 empty", "", 0, with("CDN-Cache-Control: ", "Cache-Control: max-age=60"), nil, nil, nil, stored},
	{"9213 2.1 a string for a number", "", 0, with(`CDN-Cache-Control: max-age="60"`, "Cache-Control: max-age=60"), nil, nil, nil, again},
	{"9213 2.1 parameters", "", 0, with("CDN-Cache-Control: max-age=60;a=1;b", "Cache-Control: no-store"), nil, nil, nil, stored},
	{"9651 4.2.2 the last of one key", "", 0, with("CDN-Cache-Control: max-age=0, max-age=60"), nil, nil, nil, stored},
	{"9651 4.2 lines are one dictionary", "", 0, with("CDN-Cache-Control: a", "CDN-Cache-Control: max-age=60"), nil, nil, nil, stored},
	{"9213 2.2 Age counts", "", 0, with("CDN-Cache-Control: max-age=60", "Age: 61"), nil, nil, nil, again},
}

// confirmation is what a 304 says of a stored response, and what clients get then: its own, and the next one from the store.
type confirmation struct {
	name      string
	has, says []string // fields of the 200, and of the 304
	want      []string // fields of both answers; "-Name": it is not there
}

// Content-Type is in TestConfirmedFields of the cache: the origin of these tests sends none with a 304.
var confirmations = []confirmation{
	{"3.2 a field that changes", with("X-A: 1"), with("X-A: 2"), with("X-A: 2")},
	{"3.2 a field that is new", nil, with("X-A: 2"), with("X-A: 2")},
	{"3.2 a field that is kept", with("X-A: 1"), nil, with("X-A: 1")},
	{"3.2 all lines of a field", with("X-A: 1", "X-A: 2"), with("X-A: 3"), with("X-A: 3")},
	{"3.2 Content-Range", with("Content-Range: a"), with("Content-Range: b"), with("Content-Range: b")},
	{"3.2 Content-Location", with("Content-Location: /a"), with("Content-Location: /b"), with("Content-Location: /b")},
	{"3.2 Content-Foo", with("Content-Foo: a"), with("Content-Foo: b"), with("Content-Foo: b")},
	{"3.2 Content-Encoding, corrected", with("Content-Encoding: a"), with("Content-Encoding: b"), with("Content-Encoding: b")},
	{"3.2 Content-Encoding is not brought in", nil, with("Content-Encoding: gzip"), with("-Content-Encoding")},
	{"3.2 Expires", with("Expires: NOW-1h"), with("Expires: Thu, 18 Aug 2089 02:01:18 GMT"), with("Expires: Thu, 18 Aug 2089 02:01:18 GMT")},
	{"3.2 Vary", with("Vary: X-A"), with("Vary: X-B"), with("Vary: X-B")},
	{"5.2 directives, known or not", nil, with(`Cache-Control: a="b"`), with(`Cache-Control: max-age=60, a="b"`)},
	{"3.1 fields the Connection names", nil, with("Connection: X-A", "X-A: 1"), with("-X-A", "-Connection")},
	{"3.1 fields of a proxy", nil, with("Proxy-Authenticate: Basic", "Proxy-Authentication-Info: a"), with("-Proxy-Authenticate", "-Proxy-Authentication-Info")},
	{"3.1 Keep-Alive", nil, with("Keep-Alive: timeout=5"), with("-Keep-Alive")},
}

// TestC25ConfirmationsOverThreeProtocols: which fields of a 304 count (RFC 9111 section 3.2, attack row C25).
func TestC25ConfirmationsOverThreeProtocols(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	n := start(t, fill(cachingNode, newOrigin(t, "web", func(w http.ResponseWriter, r *http.Request) {
		var i int
		_, _ = fmt.Sscan(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], &i)
		mu.Lock()
		asked[r.URL.Path]++
		first := asked[r.URL.Path] == 1
		mu.Unlock()
		w.Header().Set("ETag", `"a"`)
		w.Header().Set("Content-Type", "text/x-any")
		lines := append(with("Cache-Control: max-age=60", "Age: 61"), confirmations[i].has...)
		if !first {
			w.Header().Del("Content-Type")
			lines = append(with("Cache-Control: max-age=60"), confirmations[i].says...)
		}
		seen := map[string]bool{}
		for _, line := range lines {
			name, value, _ := strings.Cut(line, ": ")
			if !seen[name] {
				w.Header().Del(name)
			}
			seen[name] = true
			w.Header().Add(name, value)
		}
		if first {
			_, _ = io.WriteString(w, "0123")
			return
		}
		if r.Header.Get("If-None-Match") != `"a"` {
			t.Errorf("%s: not conditional", confirmations[i].name)
		}
		w.WriteHeader(http.StatusNotModified)
	})))
	for proto, rt := range threeClients(t, n) {
		for i, c := range confirmations {
			path := fmt.Sprintf("/confirm/%s/%d", proto, i)
			ask(t, n, rt, path, nil)
			for _, how := range []string{"fwd=stale; fwd-status=304; stored", "hit; ttl="} {
				response, body := ask(t, n, rt, path, nil)
				if status := response.Header.Get("Cache-Status"); !strings.HasPrefix(status, "eu1; "+how) || body != "0123" {
					t.Errorf("%s: %s %q, want %s", c.name, status, body, how)
				}
				for _, line := range c.want {
					name, value, _ := strings.Cut(strings.TrimPrefix(line, "-"), ": ")
					if got := strings.Join(response.Header.Values(name), ", "); got != value {
						t.Errorf("%s, %s: %s is %q, want %q", c.name, how, name, got, value)
					}
				}
			}
		}
	}
}

// TestTrailersStayOut: a trailer field is no header field, of the answer or of what is stored (RFC 9111 section 3.1).
func TestTrailersStayOut(t *testing.T) {
	n := start(t, fill(cachingNode, newOrigin(t, "web", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "0123")
		w.Header().Set(http.TrailerPrefix+"Cache-Control", "no-store")
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
	})))
	for proto, rt := range threeClients(t, n) {
		for _, how := range []string{"fwd=miss; fwd-status=200; stored", "hit; ttl="} {
			response, body := ask(t, n, rt, "/trailers/"+proto, nil)
			if status := response.Header.Get("Cache-Status"); !strings.HasPrefix(status, "eu1; "+how) || body != "0123" {
				t.Errorf("%s: %s %q, want %s", proto, status, body, how)
			}
			if cc := response.Header.Values("Cache-Control"); len(cc) != 1 || cc[0] != "max-age=60" || response.Header.Get("X-Late") != "" {
				t.Errorf("%s: %v", proto, response.Header)
			}
		}
	}
}
