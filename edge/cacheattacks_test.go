package edge_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// echo is an origin that shows everything an attacker might have put into a request, and lets it be stored.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=60")
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s\n", r.Method, r.Host, r.URL.RequestURI())
	for name, values := range r.Header {
		if name != "X-Request-Id" {
			fmt.Fprintf(w, "%s: %s\n", name, values)
		}
	}
	_, _ = w.Write(body)
}

// plainNode serves one site over plain HTTP with the default behavior.
func plainNode(t *testing.T, handler http.HandlerFunc) (*node, *origin) {
	o := newOrigin(t, "web", handler)
	return start(t, fill(`
version: 1
edge: {name: eu1}
listeners: {http: ["127.0.0.1:0"]}
distributions:
  www: {domains: [www.example.org, "*.www.example.org"], origins: {web: {url: "http://ORIGIN0"}}, behaviors: [{path: "*"}]}
`, o)), o
}

// raw sends bytes on a connection of their own and reads one response.
func (n *node) raw(t *testing.T, request string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", n.Addr("http", 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response, string(body)
}

// rawRequest is the bytes of a request without a body.
func rawRequest(line string, fields ...string) string {
	var b strings.Builder
	b.WriteString(line + " HTTP/1.1\r\nHost: www.example.org\r\nConnection: close\r\n")
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	return b.String() + "\r\n"
}

// TestC01C10UnkeyedFieldsDoNotPoison: what an attacker puts into fields that are not keyed does not reach others.
func TestC01C10UnkeyedFieldsDoNotPoison(t *testing.T) {
	n, _ := plainNode(t, echo)
	for i, name := range []string{
		"X-Forwarded-Host", "X-Forwarded-Scheme", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "Forwarded",
		"X-Original-URL", "X-Rewrite-URL", "X-Host", "X-Original-Host", "X-Real-IP", // C01
		"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", // C10
	} {
		path := fmt.Sprint("/p", i)
		n.raw(t, rawRequest("GET "+path, name+": evil"))
		response, body := n.raw(t, rawRequest("GET "+path))
		if status := response.Header.Get("Cache-Status"); !strings.HasPrefix(status, "eu1; hit") || strings.Contains(body, "evil") {
			t.Errorf("%s: %s\n%s", name, status, body)
		}
	}
}

// TestC05Deception: a page of somebody is not stored because its URL looks like a file.
func TestC05Deception(t *testing.T) {
	for name, says := range map[string]http.Header{
		"nothing": {}, "cookie": {"Set-Cookie": {"id=1"}, "Cache-Control": {"max-age=60"}}, "private": {"Cache-Control": {"private"}},
		"dated": {"Last-Modified": {"Fri, 31 Dec 1999 00:00:00 GMT"}},
	} {
		n, _ := plainNode(t, func(w http.ResponseWriter, r *http.Request) {
			for field, values := range says {
				w.Header()[field] = values
			}
			_, _ = io.WriteString(w, "hello "+r.Header.Get("Cookie"))
		})
		for _, suffix := range []string{"/x.css", ";x.css", "%0ax.css", "%23x.css", "%3fx.css", "/..%2fx.css", "%00.css", "/x.js", ".css", "!x.png", "$.ico", "/a.css?b.css"} {
			line := "GET /account" + suffix
			n.raw(t, rawRequest(line, "Cookie: alice"))
			if _, body := n.raw(t, rawRequest(line, "Cookie: bob")); strings.Contains(body, "alice") {
				t.Errorf("%s, %s: bob gets %q", name, suffix, body)
			}
		}
	}
}

// TestC06C07SpellingsOfOneURL: spellings of one path and one host are one object, and the origin sees one of them.
func TestC06C07SpellingsOfOneURL(t *testing.T) {
	n, o := plainNode(t, echo)
	for i, target := range []string{"/a/b", "/a/./b", "/a/x/../b", "/%61/b", "/a/%62", "//a//b"[1:]} {
		response, body := n.raw(t, rawRequest("GET "+target))
		hit := strings.HasPrefix(response.Header.Get("Cache-Status"), "eu1; hit")
		if target != "/a//b" && (hit != (i > 0) || !strings.Contains(body, " /a/b\n")) {
			t.Errorf("%s: %s\n%s", target, response.Header.Get("Cache-Status"), body)
		}
	}
	for _, target := range []string{"/a%2fb", "/a%5cb", "/a\\b", "/a%00b", "/%2e%2e%2fa"} {
		if response, _ := n.raw(t, rawRequest("GET "+target)); response.StatusCode != 400 {
			t.Errorf("%s: %d", target, response.StatusCode)
		}
	}
	before := o.asked.Load()
	for _, host := range []string{"WWW.example.ORG", "www.example.org.", "www.example.org:80", "WWW.EXAMPLE.ORG.:80"} {
		response, _ := n.raw(t, "GET /a/b HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		if status := response.Header.Get("Cache-Status"); !strings.HasPrefix(status, "eu1; hit") {
			t.Errorf("%s: %d %s", host, response.StatusCode, status)
		}
	}
	if o.asked.Load() != before {
		t.Error("the origin was asked for another spelling")
	}
	// Another host of the same distribution is another object.
	if _, body := n.raw(t, "GET /a/b HTTP/1.1\r\nHost: a.www.example.org\r\nConnection: close\r\n\r\n"); !strings.Contains(body, "a.www.example.org") {
		t.Errorf("another host: %s", body)
	}
}

// TestC08C09BadHeadsAreNotRemembered: a request that is refused or that the origin refuses changes nothing for others.
func TestC08C09BadHeadsAreNotRemembered(t *testing.T) {
	n, _ := plainNode(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header.Get("X-Long")) > 4000 {
			w.WriteHeader(400)
			return
		}
		echo(w, r)
	})
	if response, _ := n.raw(t, rawRequest("GET /long", "X-Long: "+strings.Repeat("a", 5000))); response.StatusCode != 400 {
		t.Errorf("the origin's refusal became %d", response.StatusCode)
	}
	for _, bad := range []string{"X-A: a\x01b", "X-A: a\x00b", "X-A: a\x7fb", "X A: b"} {
		if response, _ := n.raw(t, rawRequest("GET /long", bad)); response.StatusCode != 400 {
			t.Errorf("%q: %d", bad, response.StatusCode)
		}
	}
	for range 2 {
		if response, _ := n.raw(t, rawRequest("GET /long")); response.StatusCode != 200 {
			t.Errorf("others get %d", response.StatusCode)
		}
	}
}

// TestC15RangesDoNotPoison: what a range gets, 416 included, is not what everybody gets.
func TestC15RangesDoNotPoison(t *testing.T) {
	n, _ := plainNode(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("ETag", `"a"`)
		http.ServeContent(w, r, "", time.Unix(0, 0), strings.NewReader("0123456789"))
	})
	for i, field := range []string{"Range: bytes=2-3", "Range: bytes=99-", "Range: bytes=-1", "Range: bytes=0-0,4-5"} {
		path := fmt.Sprint("/r", i)
		response, body := n.raw(t, rawRequest("GET "+path, field))
		if response.StatusCode == 200 && body != "0123456789" {
			t.Errorf("%s: 200 with %q", field, body)
		}
		for range 2 {
			if response, body := n.raw(t, rawRequest("GET "+path)); response.StatusCode != 200 || body != "0123456789" {
				t.Errorf("after %s: %d %q", field, response.StatusCode, body)
			}
		}
	}
}

// TestC21PurgeIsNotForClients: PURGE and its like are methods like others, and not allowed ones.
func TestC21PurgeIsNotForClients(t *testing.T) {
	n, _ := plainNode(t, echo)
	n.raw(t, rawRequest("GET /a"))
	for _, method := range []string{"PURGE", "BAN", "DELETE", "POST", "INVALIDATE"} {
		if response, _ := n.raw(t, rawRequest(method+" /a", "Content-Length: 0")); response.StatusCode != 405 {
			t.Errorf("%s: %d", method, response.StatusCode)
		}
		if response, _ := n.raw(t, rawRequest("GET /a")); !strings.HasPrefix(response.Header.Get("Cache-Status"), "eu1; hit") {
			t.Errorf("%s removed it", method)
		}
	}
}

// TestC24BodiesAreNotTemplates: nothing in a body is carried out.
func TestC24BodiesAreNotTemplates(t *testing.T) {
	const body = `<esi:include src="http://192.0.2.1/"/><!--#include virtual="/a"-->{{.Env}}${jndi:x}`
	n, o := plainNode(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Surrogate-Control", `content="ESI/1.0"`)
		_, _ = io.WriteString(w, body)
	})
	for range 2 {
		if _, got := n.raw(t, rawRequest("GET /")); got != body {
			t.Errorf("got %q", got)
		}
	}
	if o.asked.Load() != 1 {
		t.Error("something was fetched")
	}
}

// TestC03CloakedParameters: the origin sees exactly the query that is keyed.
func TestC03CloakedParameters(t *testing.T) {
	n, _ := plainNode(t, echo)
	for _, query := range []string{"a=1&b=2", "a=1;b=2", "a=1&a=2", "a=1%26b=2", "a=1&b=2&", "a=1&utm=x;b=2", "A=1&b=2", "a=%31&b=2", ""} {
		response, body := n.raw(t, rawRequest("GET /q?"+query))
		if strings.HasPrefix(response.Header.Get("Cache-Status"), "eu1; hit") {
			t.Errorf("%q shares an object", query)
		}
		if first, _, _ := strings.Cut(body, "\n"); !strings.HasSuffix(first, "/q?"+query) {
			t.Errorf("%q: the origin saw %q", query, first)
		}
	}
}
