package config

import (
	"path"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "7d": 7 * day, "1d12h": 36 * time.Hour,
		"365d": year, "-1s": -time.Second, "1.5h": 90 * time.Minute, "106751d": 106751 * day,
	} {
		if got, err := parseDuration(s); err != nil || got != want {
			t.Errorf("%q is %v (%v), want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "5", "5x", "d", "-1d", "1.5d", "1d-1h", "1d+1h", "1dd", "10 s", "106752d", "99999999999d", "1d5", "nan", "inf"} {
		if got, err := parseDuration(s); err == nil {
			t.Errorf("%q is %v, want an error", s, got)
		}
	}
	for _, d := range []time.Duration{0, time.Millisecond, time.Minute, 90 * time.Minute, time.Hour, day, 36 * time.Hour, maxTTL} {
		if got, err := parseDuration(formatDuration(d)); err != nil || got != d {
			t.Errorf("%v is written %s and read as %v (%v)", d, formatDuration(d), got, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "4096": 4096, "64KiB": 64 << 10, "256MiB": 256 << 20, "1GiB": 1 << 30, "1.5GiB": 3 << 29, "10MB": 10_000_000,
		"5 MiB": 5 << 20, "7B": 7, "2TiB": 2 << 40, "1kB": 1000,
	} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%q is %v (%v), want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "MiB", "-1", "+1", "1e9", "0x10", "1M", "1mib", "0.5B", "1.2.3", "Inf", "9999999TiB", ".", "1 0"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q is %v, want an error", s, got)
		}
	}
	for _, n := range []int64{0, 1, 1023, 1024, 1 << 20, 3 << 29, 1<<60 + 1} {
		if got, err := parseSize(formatSize(n)); n < 1<<53 && (err != nil || got != n) {
			t.Errorf("%d is written %s and read as %d (%v)", n, formatSize(n), got, err)
		}
	}
}

func TestNearestFindsSlipsOfThePen(t *testing.T) {
	for name, want := range map[string]string{
		"polcy": "policy", "distribution": "distributions", "wieght": "weight", "Weight": "weight", "adress": "address",
		"p7": "", "eu": "", "warning": "warn", "colour": "", "chek": "check", "": "", "weight": "",
	} {
		candidates := []string{"policy", "distributions", "weight", "address", "p1", "us", "warn", "check"}
		if got := nearest(name, candidates); got != want {
			t.Errorf("%q is near %q, want %q", name, got, want)
		}
	}
}

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
