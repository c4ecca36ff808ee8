package demo

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// apiPath is what no cache may keep: every request for it reaches an origin.
const apiPath = "/api/time"

// asset is a page of the demo's site. All origins have the same.
type asset struct {
	Path, Type   string
	CacheControl string
	Body         string
	Digest       string // Repr-Digest (RFC 9530)
	ETag         string
}

// theAssets have lifetimes from a second to an hour, so that caches have something to keep, to ask about again, and to serve
// while they ask.
func theAssets() []asset {
	list := []struct {
		path, typ, cacheControl string
		size                    int
	}{
		{"/", "text/html; charset=utf-8", "max-age=2, stale-while-revalidate=10, stale-if-error=600", 6 << 10},
		{"/app.css", "text/css; charset=utf-8", "max-age=60", 18 << 10},
		{"/app.js", "text/javascript; charset=utf-8", "max-age=30, stale-while-revalidate=60", 48 << 10},
		{"/logo.svg", "image/svg+xml", "max-age=3600", 3 << 10},
		{"/hero.jpg", "image/jpeg", "max-age=300", 96 << 10},
		{"/fonts/demo.woff2", "font/woff2", "max-age=3600", 28 << 10},
		{"/news.json", "application/json", "max-age=1", 2 << 10},
	}
	assets := make([]asset, len(list))
	for i, a := range list {
		body := filler(a.path, a.size)
		assets[i] = asset{
			Path: a.path, Type: a.typ, CacheControl: a.cacheControl, Body: body,
			Digest: digest(body), ETag: fmt.Sprintf("%q", digest(body)[9:25]),
		}
	}
	return assets
}

// filler makes a body of about n bytes that differs everywhere, so that a byte in the wrong place changes its digest.
func filler(path string, n int) string {
	var b strings.Builder
	if path == "/" {
		b.WriteString("<!doctype html><title>Meridian demo</title>\n<h1>It works</h1>\n<p>One of three origins made this page; " +
			"the fields Demo-Origin and Cache-Status say which, and who kept it.</p>\n<!--\n")
	}
	for i := 0; b.Len() < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", path, i))
		fmt.Fprintf(&b, "%x\n", sum)
	}
	if path == "/" {
		b.WriteString("-->\n")
	}
	return b.String()
}

// digest is the value of a Repr-Digest field (RFC 9530 section 3).
func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}
