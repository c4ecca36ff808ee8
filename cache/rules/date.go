package rules

import (
	"strings"
	"time"
)

// The three forms of an HTTP-date (RFC 9110 §5.6.7), the zone of the first two left out.
const (
	imfFixdate = "Mon, 02 Jan 2006 15:04:05"
	rfc850     = "Monday, 02-Jan-06 15:04:05"
	asctime    = "Mon Jan _2 15:04:05 2006"
	zone       = " GMT"
)

// ParseDate reads an HTTP-date in any of its three forms, in UTC. Case does not matter, any zone but GMT does (RFC 9111 §4.2). A
// two-digit year that seems more than 50 years after now is in the last century (RFC 9110 §5.6.7).
func ParseDate(s string, now time.Time) (time.Time, bool) {
	if strings.IndexByte(s, '.') >= 0 {
		return time.Time{}, false // time.Parse would take a fraction of a second
	}
	comma := strings.IndexByte(s, ',')
	if comma < 0 {
		if len(s) != len(asctime) {
			return time.Time{}, false
		}
		t, err := time.Parse(asctime, s)
		return t, err == nil
	}
	end := len(s) - len(zone)
	if end < 0 || !strings.EqualFold(s[end:], zone) {
		return time.Time{}, false
	}
	switch s = s[:end]; {
	case len(s) == len(imfFixdate) && comma == 3:
		t, err := time.Parse(imfFixdate, s)
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
func FormatDate(t time.Time) string { return t.UTC().Format(imfFixdate + zone) }
