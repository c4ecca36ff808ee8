package rules

import (
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Directives is a parsed Cache-Control field (RFC 9111 §5.2), of a request or of a response. Where lines repeat or contradict
// each other, or make no sense, it holds the most restrictive reading (RFC 9111 §4.2.1).
type Directives struct {
	NoStore         bool
	NoCache         bool // without names of fields
	Private         bool // without names of fields
	Public          bool
	MustRevalidate  bool
	ProxyRevalidate bool
	MustUnderstand  bool
	OnlyIfCached    bool
	Immutable       bool // RFC 8246

	MaxAge               Delta
	SMaxAge              Delta
	MinFresh             Delta // of a request
	MaxStale             Delta // of a request; without a number: however stale
	StaleWhileRevalidate Delta // RFC 5861 §3
	StaleIfError         Delta // RFC 5861 §4

	// Withheld are the fields that private and no-cache name (RFC 9111 §5.2.2.4 and §5.2.2.7), lower case: they are not stored.
	Withheld []string
	// Targeted says that the directives come from a field of the policy's target list: Cache-Control and Expires do not count
	// (RFC 9213 §2.2).
	Targeted bool
}

// Delta is the argument of a directive that has seconds for one.
type Delta struct {
	Present bool          // the directive is there
	Valid   bool          // every occurrence had a number
	Value   time.Duration // the smallest; 0 when not valid
}

// ParseDirectives reads every Cache-Control line of fields. It never fails: see Directives. A quoted string that does not end
// hides what follows it, so it counts as no-store.
func ParseDirectives(fields httpwire.Fields) Directives {
	var d Directives
	for i := range fields {
		if fields[i].ID == httpwire.CacheControl {
			d.Parse(fields[i].Value)
		}
	}
	return d
}

// Parse adds one line.
func (d *Directives) Parse(line string) {
	for line != "" {
		end, quoted := 0, false
	scan:
		for ; end < len(line); end++ {
			switch c := line[end]; {
			case quoted && c == '\\':
				end++
			case c == '"':
				quoted = !quoted
			case c == ',' && !quoted:
				break scan
			}
		}
		if quoted {
			d.NoStore = true
		}
		end = min(end, len(line))
		d.add(httpwire.TrimOWS(line[:end]))
		line = line[min(end+1, len(line)):]
	}
}

// add takes one directive in. A permission with an argument is none; a restriction with one stays.
func (d *Directives) add(directive string) {
	name, arg, has := strings.Cut(directive, "=")
	// RFC 9111 §5.2 has no space around the equals sign: the argument is then not valid, and the directive still meant.
	spaced := has && (strings.TrimRight(name, " \t") != name || strings.TrimLeft(arg, " \t") != arg)
	name = strings.TrimRight(name, " \t")
	switch {
	case is(name, "no-store"):
		d.NoStore = true
	case is(name, "no-cache"):
		d.NoCache = d.NoCache || !has || !d.withhold(arg)
	case is(name, "private"):
		d.Private = d.Private || !has || !d.withhold(arg)
	case is(name, "public"):
		d.Public = d.Public || !has
	case is(name, "must-revalidate"):
		d.MustRevalidate = true
	case is(name, "proxy-revalidate"):
		d.ProxyRevalidate = true
	case is(name, "must-understand"):
		d.MustUnderstand = true
	case is(name, "only-if-cached"):
		d.OnlyIfCached = true
	case is(name, "immutable"):
		d.Immutable = true // an argument does not matter (RFC 8246 §2)
	case is(name, "min-fresh"):
		d.MinFresh.add(arg, spaced)
	case is(name, "max-stale"):
		if !has {
			arg = "2147483647"
		}
		d.MaxStale.add(arg, spaced)
	case is(name, "max-age"):
		d.MaxAge.add(arg, spaced)
	case is(name, "s-maxage"):
		d.SMaxAge.add(arg, spaced)
	case is(name, "stale-while-revalidate"):
		d.StaleWhileRevalidate.add(arg, spaced)
	case is(name, "stale-if-error"):
		d.StaleIfError.add(arg, spaced)
	}
}

// withhold takes in the names that qualify private and no-cache. It fails when the directive is to be read as if it had none: when
// there are none, too many, one that cannot be one, or one without which the rest would mean something else.
func (d *Directives) withhold(arg string) bool {
	names := d.Withheld
	for name := range strings.SplitSeq(unquote(arg), ",") {
		name = strings.ToLower(httpwire.TrimOWS(name))
		if name == "" {
			continue
		}
		if !httpwire.IsToken(name) || len(names) >= maxWithheld || meaning(name) {
			return false
		}
		names = append(names, name)
	}
	if len(names) == len(d.Withheld) {
		return false
	}
	d.Withheld = names
	return true
}

// meaning lists the fields that a stored response cannot do without: what the body is, and what the response is stored for.
func meaning(name string) bool {
	switch name {
	case "content-encoding", "content-type", "content-range", "content-length", "transfer-encoding", "vary", "cache-control", "date", "age":
		return true
	}
	return false
}

// Hides reports whether a field is one of those that are not stored.
func (d *Directives) Hides(f *httpwire.Field) bool {
	for _, name := range d.Withheld {
		if len(name) == len(f.Name) && strings.EqualFold(name, f.Name) {
			return true
		}
	}
	return false
}

func is(name, directive string) bool {
	return len(name) == len(directive) && strings.EqualFold(name, directive)
}

// add takes one occurrence in: the smallest wins, and one that is no number makes all of them zero.
func (v *Delta) add(arg string, spaced bool) {
	value, ok := parseDelta(unquote(arg))
	ok = ok && !spaced
	switch {
	case !v.Present:
		*v = Delta{Present: true, Valid: ok, Value: value}
	case !ok:
		v.Valid = false
	default:
		v.Value = min(v.Value, value)
	}
	if !v.Valid {
		v.Value = 0
	}
}

// unquote takes the quotes off: both forms of an argument are to be read (RFC 9111 §5.2).
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// parseDelta reads delta-seconds (RFC 9111 §1.2.2): digits only; what is too large is the largest.
func parseDelta(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), maxDelta)
	}
	return time.Duration(n) * time.Second, true
}

// IsNoCachePragma reports whether a Pragma field of a request says no-cache (RFC 9111 §5.4).
func IsNoCachePragma(value string) bool {
	for member := range strings.SplitSeq(value, ",") {
		if strings.EqualFold(httpwire.TrimOWS(member), "no-cache") {
			return true
		}
	}
	return false
}
