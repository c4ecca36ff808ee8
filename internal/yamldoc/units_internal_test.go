package yamldoc

import (
	"testing"
	"time"
)

const day = 24 * time.Hour

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "7d": 7 * day, "1d12h": 36 * time.Hour,
		"365d": 365 * day, "-1s": -time.Second, "1.5h": 90 * time.Minute, "106751d": 106751 * day,
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
	for _, d := range []time.Duration{0, time.Millisecond, time.Minute, 90 * time.Minute, time.Hour, day, 36 * time.Hour, 24855 * day} {
		if got, err := parseDuration(FormatDuration(d)); err != nil || got != d {
			t.Errorf("%v is written %s and read as %v (%v)", d, FormatDuration(d), got, err)
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
		if got, err := parseSize(FormatSize(n)); n < 1<<53 && (err != nil || got != n) {
			t.Errorf("%d is written %s and read as %d (%v)", n, FormatSize(n), got, err)
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
