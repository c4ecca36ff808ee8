package yamldoc

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// Scalar returns the text of a single value, substituted, whatever its YAML type.
func (c Cursor) Scalar() (string, bool) {
	switch {
	case isNull(c.n):
		c.Errorf("has no value").Hint("give it one, or remove the key")
		return "", false
	case c.n.Kind != yaml.ScalarNode:
		c.Errorf("must be a single value, not %s", kindName(c.n))
		return "", false
	case !c.untagged():
		return "", false
	}
	if s, is := c.d.texts[c.n]; is {
		return s.text, s.ok
	}
	return c.n.Value, true
}

// Text returns a value that is read as text: not empty and without control characters. Numbers are taken as written.
func (c Cursor) Text() (string, bool) {
	s, ok := c.Scalar()
	switch {
	case !ok:
		return "", false
	case c.n.Tag == "!!bool":
		c.Errorf("must be text").Hint("put it in quotes")
	case s == "":
		c.Errorf("must not be empty")
	case strings.ContainsFunc(s, unicode.IsControl):
		c.Errorf("must not contain control characters")
	default:
		return s, true
	}
	return "", false
}

// quoted says whether a number or a duration was written as a string.
func (c Cursor) quoted() bool {
	return c.n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 && !c.Secret()
}

// Integer returns a whole number from lo to hi, written as a number.
func (c Cursor) Integer(lo, hi int) (int, bool) {
	s, ok := c.Scalar()
	if !ok {
		return 0, false
	}
	v, err := strconv.Atoi(s)
	switch {
	case err != nil && !isDigits(strings.TrimLeft(s, "+-")):
		c.Errorf("%s is not a whole number", c.Shown())
	case c.quoted():
		c.Errorf("must be a number, not text").Hint("remove the quotes")
	case err != nil || v < lo || v > hi:
		c.Errorf("%s is out of range, %d to %d", c.bare(), lo, hi)
	default:
		return v, true
	}
	return 0, false
}

// Number returns a number from lo to hi, written as a number.
func (c Cursor) Number(lo, hi float64) (float64, bool) {
	s, ok := c.Scalar()
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil:
		c.Errorf("%s is not a number", c.Shown())
	case c.quoted():
		c.Errorf("must be a number, not text").Hint("remove the quotes")
	case !(v >= lo && v <= hi): // NaN is in no range
		c.Errorf("%s is out of range, %v to %v", c.bare(), lo, hi)
	default:
		return v, true
	}
	return 0, false
}

// bare is shown without quotes when it is a number.
func (c Cursor) bare() string {
	if strings.Trim(c.n.Value, "+-.0123456789") == "" && len(c.n.Value) < 40 {
		return c.n.Value
	}
	return c.Shown()
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// Boolean returns true for true and on, false for false and off.
func (c Cursor) Boolean() (bool, bool) {
	s, ok := c.Scalar()
	if !ok {
		return false, false
	}
	v, isSwitch := parseSwitch(s)
	if !isSwitch || c.quoted() {
		c.Errorf("%s is neither true nor false", c.Shown())
		return false, false
	}
	return v, true
}

// PlainSwitch reads on and off where they stand for a whole section. It reports nothing: other values are the section.
func (c Cursor) PlainSwitch() (value, ok bool) {
	if c.n.Content != nil || c.quoted() {
		return false, false
	}
	if s, is := c.d.texts[c.n]; is {
		return parseSwitch(s.text)
	}
	return parseSwitch(c.n.Value)
}

// parseSwitch reads true, false, on and off. YAML 1.2 leaves on and off text, so that they arrive here as such.
func parseSwitch(s string) (value, ok bool) {
	switch s {
	case "true", "True", "TRUE", "on", "On", "ON":
		return true, true
	case "false", "False", "FALSE", "off", "Off", "OFF":
		return false, true
	}
	return false, false
}

// Duration returns a duration from lo to hi, such as 500ms, 1h30m or 7d. Only 0 needs no unit.
func (c Cursor) Duration(lo, hi time.Duration) (time.Duration, bool) {
	s, ok := c.Scalar()
	if !ok {
		return 0, false
	}
	v, err := parseDuration(s)
	switch {
	case err == errNoUnit: //nolint:errorlint // parseDuration returns it as it is
		c.Errorf("%s has no unit", c.Shown()).Hint("add one, for seconds: %ss", c.n.Value)
	case err != nil:
		c.Errorf("%s %v", c.Shown(), err).Hint("write it as 500ms, 30s, 5m, 1h30m or 7d")
	case v < lo || v > hi:
		c.Errorf("%s is out of range, %s to %s", c.Unquoted(), FormatDuration(lo), FormatDuration(hi))
	default:
		return v, true
	}
	return 0, false
}

// Size returns a number of bytes from lo to hi, such as 64KiB, 10MB or 4096.
func (c Cursor) Size(lo, hi int64) (int64, bool) {
	s, ok := c.Scalar()
	if !ok {
		return 0, false
	}
	v, err := parseSize(s)
	switch {
	case err != nil:
		c.Errorf("%s %v", c.Shown(), err).Hint("write it as 64KiB, 256MiB, 1GiB, 10MB or a number of bytes")
	case v < lo || v > hi:
		c.Errorf("%s is out of range, %s to %s", c.Unquoted(), FormatSize(lo), FormatSize(hi))
	default:
		return v, true
	}
	return 0, false
}

// Unquoted is the value as written; for values known to be short and plain.
func (c Cursor) Unquoted() string { return strings.Trim(c.Shown(), `"`) }

// Enum returns one of values.
func (c Cursor) Enum(values ...string) (string, bool) {
	s, ok := c.Scalar()
	if !ok {
		return "", false
	}
	if slices.Contains(values, s) {
		return s, true
	}
	m := c.Errorf("%s is not one of %s", c.Shown(), strings.Join(values, ", "))
	if !c.Secret() {
		m.Meant(s, values)
	}
	return "", false
}

// FilePath returns an absolute path; relative ones start from the folder of the file.
func (c Cursor) FilePath() (string, bool) {
	s, ok := c.Text()
	if !ok {
		return "", false
	}
	return c.d.Abs(s), true
}

// Name returns a value that is a name; see IsName.
func (c Cursor) Name() (string, bool) {
	s, ok := c.Text()
	if ok && !IsName(s) {
		c.Errorf("%s is not a name", c.Shown()).Hint(nameRule)
		return "", false
	}
	return s, ok
}

const nameRule = "a name is made of letters, digits, dots, dashes and underscores, at most 63 of them"

// IsName says whether s is fit for metric labels, log fields and paths: letters, digits, dots, dashes and underscores, at most
// 63 of them. A slash is left to callers, who may join names with it.
func IsName(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '.' && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
	})
}
