package edge_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/proxy"
)

// Tags are read from the fields that the configuration names; a reload changes that for what comes from then on.
func TestTagFieldsAreTheConfigurations(t *testing.T) {
	const text = `
version: 1
edge: {name: eu1}
listeners: {http: ["127.0.0.1:0"]}
cache: {tag_fields: [X-Amz-Meta-Tags]}
distributions:
  www: {domains: [www.example.org], origins: {web: {url: "http://ORIGIN0"}}, behaviors: [{path: "*"}]}
`
	o := newOrigin(t, "web", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("x-amz-meta-tags", "Shop, news")
		w.Header().Set("Surrogate-Key", "other")
		_, _ = io.WriteString(w, r.URL.Path)
	})
	n := start(t, fill(text, o))
	hit := func(path string) bool {
		response, _ := n.raw(t, rawRequest("GET "+path))
		return strings.HasPrefix(response.Header.Get("Cache-Status"), "eu1; hit")
	}
	purge := func(tag string) {
		t.Helper()
		if _, err := n.Purge(t.Context(), proxy.PurgeQuery{Tag: tag}); err != nil {
			t.Fatal(err)
		}
	}
	hit("/a")
	if purge("other"); !hit("/a") {
		t.Error("a field that is not listed is heeded")
	}
	if purge("shop"); hit("/a") {
		t.Error("a listed field is not heeded")
	}
	n.write(t, strings.Replace(fill(text, o), "[X-Amz-Meta-Tags]", "[surrogate-key]", 1))
	if err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	hit("/b")
	if purge("other"); hit("/b") {
		t.Error("the new field is not heeded after a reload")
	}
	if purge("news"); hit("/a") {
		t.Error("what was stored before has lost its tags")
	}
}
