package yamldoc

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var (
	errNoUnit   = errors.New("has no unit")
	errDuration = errors.New("is not a duration")
	errSize     = errors.New("is not a size")
	errTooLarge = errors.New("is too large")
)

// parseDuration reads Go's duration syntax with d for days (of 24 hours) added, and a bare 0.
func parseDuration(s string) (time.Duration, error) {
	if strings.Trim(s, "0123456789.") == "" && strings.Trim(s, "0") != "" {
		return 0, errNoUnit
	}
	rest, total := s, 0.0
	if days, after, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(days, 10, 31)
		if err != nil {
			return 0, errDuration
		}
		total, rest = float64(n)*float64(24*time.Hour), after
		if rest == "" {
			rest = "0"
		}
		if rest[0] == '-' || rest[0] == '+' {
			return 0, errDuration
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		return 0, errDuration
	}
	if total+float64(d) >= math.MaxInt64 {
		return 0, errTooLarge
	}
	return time.Duration(total) + d, nil
}

// FormatDuration is the shortest spelling that parseDuration reads back: 1h rather than 1h0m0s.
func FormatDuration(d time.Duration) string {
	if d >= 24*time.Hour && d%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + "d"
	}
	if d == 0 {
		return "0"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

type unit struct {
	name  string
	bytes int64
}

// sizeUnits lists the units from long to short, so that the first suffix that fits is the right one.
func sizeUnits() []unit {
	return []unit{
		{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
		{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1},
	}
}

// parseSize reads a number of bytes: 256MiB, 1.5GiB, 10MB or a plain number.
func parseSize(s string) (int64, error) {
	number, unit := s, int64(1)
	for _, u := range sizeUnits() {
		if before, found := strings.CutSuffix(s, u.name); found {
			number, unit = strings.TrimSpace(before), u.bytes
			break
		}
	}
	if number == "" || strings.Trim(number, "0123456789.") != "" { // no sign, exponent, Inf or hexadecimal
		return 0, errSize
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, errSize
	}
	v *= float64(unit)
	if v >= math.MaxInt64 {
		return 0, errTooLarge
	}
	if v != math.Trunc(v) {
		return 0, errSize
	}
	return int64(v), nil
}

// FormatSize is the shortest exact spelling of n in binary units.
func FormatSize(n int64) string {
	for _, u := range sizeUnits()[:4] {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
