package config

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// scalar returns the text of a single value, substituted, whatever its YAML type.
func (c cursor) scalar() (string, bool) {
	switch {
	case isNull(c.n):
		c.errorf("has no value").hint("give it one, or remove the key")
		return "", false
	case c.n.Kind != yaml.ScalarNode:
		c.errorf("must be a single value, not %s", kindName(c.n))
		return "", false
	case !c.untagged():
		return "", false
	}
	if s, is := c.d.texts[c.n]; is {
		return s.text, s.ok
	}
	return c.n.Value, true
}

// text returns a value that is read as text: not empty and without control characters. Numbers are taken as written.
func (c cursor) text() (string, bool) {
	s, ok := c.scalar()
	switch {
	case !ok:
		return "", false
	case c.n.Tag == "!!bool":
		c.errorf("must be text").hint("put it in quotes")
	case s == "":
		c.errorf("must not be empty")
	case strings.ContainsFunc(s, unicode.IsControl):
		c.errorf("must not contain control characters")
	default:
		return s, true
	}
	return "", false
}

// quoted says whether a number or a duration was written as a string.
func (c cursor) quoted() bool {
	return c.n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 && !c.secret()
}

func (c cursor) integer(lo, hi int) (int, bool) {
	s, ok := c.scalar()
	if !ok {
		return 0, false
	}
	v, err := strconv.Atoi(s)
	switch {
	case err != nil && !isDigits(strings.TrimLeft(s, "+-")):
		c.errorf("%s is not a whole number", c.shown())
	case c.quoted():
		c.errorf("must be a number, not text").hint("remove the quotes")
	case err != nil || v < lo || v > hi:
		c.errorf("%s is out of range, %d to %d", c.bare(), lo, hi)
	default:
		return v, true
	}
	return 0, false
}

func (c cursor) number(lo, hi float64) (float64, bool) {
	s, ok := c.scalar()
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil:
		c.errorf("%s is not a number", c.shown())
	case c.quoted():
		c.errorf("must be a number, not text").hint("remove the quotes")
	case !(v >= lo && v <= hi): // NaN is in no range
		c.errorf("%s is out of range, %v to %v", c.bare(), lo, hi)
	default:
		return v, true
	}
	return 0, false
}

// bare is shown without quotes when it is a number.
func (c cursor) bare() string {
	if strings.Trim(c.n.Value, "+-.0123456789") == "" && len(c.n.Value) < 40 {
		return c.n.Value
	}
	return c.shown()
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func (c cursor) boolean() (bool, bool) {
	s, ok := c.scalar()
	if !ok {
		return false, false
	}
	v, isSwitch := parseSwitch(s)
	if !isSwitch || c.quoted() {
		c.errorf("%s is neither true nor false", c.shown())
		return false, false
	}
	return v, true
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

func (c cursor) duration(lo, hi time.Duration) (time.Duration, bool) {
	s, ok := c.scalar()
	if !ok {
		return 0, false
	}
	v, err := parseDuration(s)
	switch {
	case err == errNoUnit: //nolint:errorlint // parseDuration returns it as it is
		c.errorf("%s has no unit", c.shown()).hint("add one, for seconds: %ss", c.n.Value)
	case err != nil:
		c.errorf("%s %v", c.shown(), err).hint("write it as 500ms, 30s, 5m, 1h30m or 7d")
	case v < lo || v > hi:
		c.errorf("%s is out of range, %s to %s", c.unquoted(), formatDuration(lo), formatDuration(hi))
	default:
		return v, true
	}
	return 0, false
}

func (c cursor) size(lo, hi int64) (int64, bool) {
	s, ok := c.scalar()
	if !ok {
		return 0, false
	}
	v, err := parseSize(s)
	switch {
	case err != nil:
		c.errorf("%s %v", c.shown(), err).hint("write it as 64KiB, 256MiB, 1GiB, 10MB or a number of bytes")
	case v < lo || v > hi:
		c.errorf("%s is out of range, %s to %s", c.unquoted(), formatSize(lo), formatSize(hi))
	default:
		return v, true
	}
	return 0, false
}

// unquoted is the value as written; for values known to be short and plain.
func (c cursor) unquoted() string { return strings.Trim(c.shown(), `"`) }

func (c cursor) enum(values ...string) (string, bool) {
	s, ok := c.scalar()
	if !ok {
		return "", false
	}
	if slices.Contains(values, s) {
		return s, true
	}
	m := c.errorf("%s is not one of %s", c.shown(), strings.Join(values, ", "))
	if !c.secret() {
		m.meant(s, values)
	}
	return "", false
}

// filePath returns an absolute path; relative ones start from the folder of the file.
func (c cursor) filePath() (string, bool) {
	s, ok := c.text()
	if !ok {
		return "", false
	}
	if !filepath.IsAbs(s) {
		s = filepath.Join(c.d.dir, s)
	}
	return filepath.Clean(s), true
}

// name returns a value that names something of ours, such as a pool.
func (c cursor) name() (string, bool) {
	s, ok := c.text()
	if ok && !isName(s) {
		c.errorf("%s is not a name", c.shown()).hint(nameRule)
		return "", false
	}
	return s, ok
}

const nameRule = "a name is made of letters, digits, dots, dashes and underscores, at most 63 of them"

// isName keeps names fit for metric labels, log fields and paths. A slash is ours: "<distribution>/<origin>".
func isName(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '.' && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
	})
}
