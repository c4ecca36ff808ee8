package config

import (
	"path"
	"testing"
)

// TestCoversOnlyWhatItMatches compares covers with matching every short path.
func TestCoversOnlyWhatItMatches(t *testing.T) {
	patterns, paths := words("a*?", 4), words("ab", 5)
	matches := func(pattern string) map[string]bool {
		found := make(map[string]bool)
		for _, s := range paths {
			if ok, err := path.Match(pattern, s); ok && err == nil { // the same for paths without a slash
				found[s] = true
			}
		}
		return found
	}
	all := make(map[string]map[string]bool)
	for _, p := range patterns {
		all[p] = matches(p)
	}
	for _, p := range patterns {
		for _, q := range patterns {
			if covers(p, q) && !subset(all[q], all[p]) {
				t.Errorf("%q does not cover %q", p, q)
			}
		}
	}
	for _, c := range [][2]string{{"*", "/a/*"}, {"/*", "*"}, {"/a/*", "/a/b/*"}, {"/a*", "/a?"}, {"a", "/a"}, {"*.png", "/img/*.png"}} {
		if !covers(c[0], c[1]) {
			t.Errorf("%s covers %s", c[0], c[1])
		}
	}
}

// words are all words of the letters, up to a length.
func words(letters string, length int) []string {
	list := []string{""}
	for start := 0; length > 0; length-- {
		end := len(list)
		for _, w := range list[start:end] {
			for _, r := range letters {
				list = append(list, w+string(r))
			}
		}
		start = end
	}
	return list
}

func subset(a, b map[string]bool) bool {
	for s := range a {
		if !b[s] {
			return false
		}
	}
	return true
}
