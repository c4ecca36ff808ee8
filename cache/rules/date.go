package rules

import (
	"strings"
	"time"
)

// The three forms of an HTTP-date (RFC 9110 §5.6.7).
const (
	imfFixdate = "Mon, 02 Jan 2006 15:04:05 GMT"
	rfc850     = "Monday, 02-Jan-06 15:04:05 GMT"
	asctime    = "Mon Jan _2 15:04:05 2006"
)

// ParseDate reads an HTTP-date in any of its three forms, in UTC. A two-digit year that seems more than 50 years after now is
// in the last century (RFC 9110 §5.6.7).
func ParseDate(s string, now time.Time) (time.Time, bool) {
	if strings.IndexByte(s, '.') >= 0 {
		return time.Time{}, false // time.Parse would take a fraction of a second
	}
	switch comma := strings.IndexByte(s, ','); {
	case len(s) == len(imfFixdate) && comma == 3:
		t, err := time.Parse(imfFixdate, s)
		return t, err == nil
	case len(s) == len(asctime) && comma < 0:
		t, err := time.Parse(asctime, s)
		return t, err == nil
	case comma > 3 && len(s)-comma == len(rfc850)-len("Monday"):
		t, err := time.Parse(rfc850, s)
		return century(t, now), err == nil
	}
	return time.Time{}, false
}

// century moves t to the century that RFC 9110 §5.6.7 means by its last two digits.
func century(t, now time.Time) time.Time {
	base := now.UTC().Year() / 100 * 100
	t = time.Date(base+t.Year()%100, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	if t.After(now.AddDate(50, 0, 0)) {
		t = t.AddDate(-100, 0, 0)
	}
	return t
}

// FormatDate writes an IMF-fixdate.
func FormatDate(t time.Time) string { return t.UTC().Format(imfFixdate) }
