package rules

import (
	"strings"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Limits of tags.
const (
	maxTags   = 50  // of one response, as CloudFront has it; further ones do not count
	maxTagLen = 256 // octets; a longer one does not count
)

// Tags collects the tags of a response: members of the fields named, separated by spaces or commas, lower case.
func Tags(fields httpwire.Fields, names []string) []string {
	var tags []string
	for i := range fields {
		if !taggedBy(&fields[i], names) {
			continue
		}
		for tag := range strings.FieldsFuncSeq(fields[i].Value, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
			if len(tag) <= maxTagLen && len(tags) < maxTags {
				tags = append(tags, strings.ToLower(tag))
			}
		}
	}
	return tags
}

// taggedBy reports whether a field holds tags; names are lower case.
func taggedBy(f *httpwire.Field, names []string) bool {
	for _, name := range names {
		if len(f.Name) == len(name) && strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}
