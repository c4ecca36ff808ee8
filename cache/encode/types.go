package encode

import (
	"strings"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// compressible reports whether bodies of a media type are worth encoding. Parameters and case do not count. An event stream is
// left out: it lives long and each event is small, so it would hold an encoder for little.
func compressible(mediaType string) bool {
	t, _, _ := strings.Cut(mediaType, ";")
	t = httpwire.TrimOWS(t)
	kind, sub, ok := strings.Cut(t, "/")
	if !ok {
		return false
	}
	if len(sub) > maxSubtype {
		return false
	}
	var buf [maxSubtype]byte
	lower := buf[:len(sub)]
	for i := range len(sub) {
		c := sub[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	switch {
	case strings.EqualFold(kind, "text"):
		return string(lower) != "event-stream"
	case strings.EqualFold(kind, "application"):
		return textual(string(lower)) || suffixed(string(lower))
	case strings.EqualFold(kind, "image"):
		switch string(lower) {
		case "bmp", "x-icon", "vnd.microsoft.icon", "x-ms-bmp":
			return true
		}
		return suffixed(string(lower))
	case strings.EqualFold(kind, "font"):
		switch string(lower) {
		case "ttf", "otf", "sfnt", "collection", "eot": // woff and woff2 are compressed
			return true
		}
		return false
	}
	return false
}

// maxSubtype is the longest subtype that is looked at; a registered one has at most 127 characters (RFC 6838 §4.2).
const maxSubtype = 127

// textual lists the application types that are text, or bytes that compress as well.
func textual(sub string) bool {
	switch sub {
	case "json", "javascript", "x-javascript", "ecmascript", "x-ecmascript", "xml", "xml-dtd", "wasm", "graphql", "yaml", "x-yaml",
		"toml", "rtf", "x-sh", "x-ndjson", "ndjson", "jsonl", "x-jsonlines", "json-seq", "manifest", "x-web-app-manifest", "vnd.api",
		"vnd.apple.mpegurl", "x-mpegurl", "sql", "x-httpd-php", "x-perl", "x-tcl", "sparql-query", "n-triples", "n-quads", "trig",
		"vnd.ms-fontobject", "x-font-ttf", "x-font-truetype", "x-font-opentype", "x-font-otf", "opentype", "truetype", "font-sfnt",
		"eot", "ttf", "otf", "x-opentype", "x-otf", "x-ttf", "x-font", "x-javascript-config", "csv", "x-latex", "x-tex", "postscript",
		"vnd.google-earth.kml", "x-www-form-urlencoded":
		return true
	}
	return false
}

// suffixed lists the structured syntaxes that are text (RFC 6839).
func suffixed(sub string) bool {
	for _, suffix := range [...]string{"+json", "+xml", "+yaml", "+json-seq", "+jsonl"} {
		if len(sub) > len(suffix) && strings.HasSuffix(sub, suffix) {
			return true
		}
	}
	return false
}
