package discover_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/meridian-edge/meridian/edge/discover"
)

// serveList runs a server and returns its url.
func serveList(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func watchURL(t *testing.T, url string) *watched {
	t.Helper()
	w := watch(t, `pools: {web: {discover: [{url: "`+url+`", interval: 1s}]}}`, discover.Options{})
	w.settle(t)
	return w
}

// A document that has not changed is not sent again (RFC 9110 section 13.1.2), and counts as good.
func TestURLIsFetchedWithItsTag(t *testing.T) {
	var full, same atomic.Int64
	w := watchURL(t, serveList(t, func(out http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == `"v1"` {
			same.Add(1)
			out.WriteHeader(http.StatusNotModified)
			return
		}
		full.Add(1)
		out.Header().Set("ETag", `"v1"`)
		fmt.Fprint(out, `[{"targets": ["192.0.2.1:80", "192.0.2.2:80"], "labels": {"__meta_x": "y"}}]`)
	})+"/web?x=1")
	w.expect(t, "at the start", "192.0.2.1:80", "192.0.2.2:80")
	first := w.Status()[0].LastGood
	until(t, "a second look", func() bool { return same.Load() > 0 && w.Status()[0].LastGood.After(first) })
	w.expect(t, "unchanged", "192.0.2.1:80", "192.0.2.2:80")
	if full.Load() != 1 || w.Status()[0].Failure != "" {
		t.Errorf("sent %d times, %q", full.Load(), w.Status()[0].Failure)
	}
}

func TestBadURLsAreRefused(t *testing.T) {
	other := serveList(t, func(out http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(out, `[{"targets": ["203.0.113.66:80"]}]`)
	})
	f := func(want string, handler http.HandlerFunc) {
		t.Helper()
		w := watchURL(t, serveList(t, handler))
		w.expect(t, want)
		if got := w.Status()[0].Failure; !strings.Contains(got, want) {
			t.Errorf("failure %q, want %q", got, want)
		}
	}
	f("status 503", func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(503) })
	f("status 304", func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(304) })
	f("another host", func(out http.ResponseWriter, r *http.Request) { http.Redirect(out, r, other, http.StatusFound) })
	f("too often", func(out http.ResponseWriter, r *http.Request) { http.Redirect(out, r, "/again", http.StatusFound) })
	f("larger than", func(out http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(out, "["+strings.Repeat(" ", 1<<20)+`{"targets": ["192.0.2.1:80"]}]`)
	})
	f("file_sd form", func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, "<html>") })
	f("no endpoint", func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, "[]") })
}

func TestRedirectsOnTheSameHostAreFollowed(t *testing.T) {
	w := watchURL(t, serveList(t, func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(out, r, "/v2", http.StatusFound)
			return
		}
		fmt.Fprint(out, `[{"targets": ["192.0.2.1:80"]}]`)
	})+"/")
	w.expect(t, "after a redirect", "192.0.2.1:80")
}

// A password in a url is in no log, status or metric.
func TestPasswordsStayOut(t *testing.T) {
	at := strings.Replace(serveList(t, func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(500) }), "//", "//user:hunter2@", 1)
	w := watchURL(t, at)
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(families, w.Status()); strings.Contains(text, "hunter2") || w.log.count("hunter2") > 0 {
		t.Errorf("the password shows: %s", text)
	}
}
