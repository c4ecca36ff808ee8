package key

import (
	"fmt"
	"strings"
)

// Part is one part of a key, with its name.
type Part struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Parts takes a key apart, for people.
func Parts(key string) []Part {
	names := [URLParts]string{"site", "scheme", "host", "port", "path", "query"}
	var parts []Part
	for key != "" {
		var n int
		if _, err := fmt.Sscanf(key, "%d:", &n); err != nil {
			break
		}
		_, rest, _ := strings.Cut(key, ":")
		if n+1 > len(rest) {
			break
		}
		name := "extra"
		if len(parts) < URLParts {
			name = names[len(parts)]
		}
		parts = append(parts, Part{name, rest[:n]})
		key = rest[n+1:]
	}
	if len(parts) <= URLParts {
		return parts
	}
	// Then come pairs: the profile and the codings, the word cookies and the cookies, a field's name and its value; of a slice the word
	// slices and what tells the version, the word slice and its number.
	pairs := parts[URLParts:]
	parts = parts[:URLParts:URLParts]
	for i := 0; i+1 < len(pairs); i += 2 {
		parts = append(parts, Part{strings.TrimPrefix(pairs[i].Value, ":"), pairs[i+1].Value})
	}
	return parts
}
