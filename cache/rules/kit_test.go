package rules_test

import (
	"strings"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

func fields(lines ...string) httpwire.Fields {
	var f httpwire.Fields
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		f.AddName(name, value)
	}
	return f
}

func policy() *config.CachePolicy {
	return &config.CachePolicy{Profile: "rfc9111", KeyQuery: config.KeyPart{All: true}}
}

func date(t time.Time) string { return t.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") }
