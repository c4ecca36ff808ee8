package rules

import (
	"strconv"
	"strings"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// ResponseDirectives reads what a response says about caching: the first field of the policy's target list that is a dictionary
// and not empty, alone; without one Cache-Control (RFC 9213 §2.2).
func ResponseDirectives(fields httpwire.Fields, p *config.CachePolicy) Directives {
	for _, name := range p.Targeted {
		if d, ok := targeted(fields, name); ok {
			return d
		}
	}
	return ParseDirectives(fields)
}

// targeted reads one targeted field (RFC 9213 §2.1): the lines are one dictionary (RFC 9651 §4.2). It fails when the field is absent,
// empty or no dictionary.
func targeted(fields httpwire.Fields, name string) (Directives, bool) {
	d, value := Directives{Targeted: true}, ""
	for i := range fields {
		if len(fields[i].Name) != len(name) || !strings.EqualFold(fields[i].Name, name) {
			continue
		}
		if value != "" {
			value += ", "
		}
		value += fields[i].Value
	}
	members, ok := parseDictionary(value)
	if !ok || len(members) == 0 {
		return d, false
	}
	for _, m := range members {
		m.apply(&d)
	}
	return d, true
}

// apply takes one member in. A value that does not fit its directive is not made to fit (RFC 9213 §2.1): a lifetime is then none, a
// restriction stays.
func (m *member) apply(d *Directives) {
	switch {
	case m.kind == isFalse:
	case m.kind == isTrue:
		d.add(m.key)
	case m.kind == isInteger:
		d.add(m.key + "=" + m.text)
	case m.key == "no-cache" || m.key == "private": // a string of names
		if m.kind == isString {
			d.add(m.key + `="` + m.text + `"`)
		} else {
			d.add(m.key)
		}
	default:
		d.add(m.key + "=?") // no number
	}
}

// The kinds of a member's value.
const (
	isTrue = iota
	isFalse
	isInteger
	isString
	isOther // decimal, token, bytes, date, display string, inner list
)

// member is one member of a dictionary.
type member struct {
	key  string
	kind int
	text string // of an integer its digits, of a string its characters
}

// parseDictionary parses a dictionary (RFC 9651 §4.2.2). Of members with one key the last counts, in its place.
func parseDictionary(s string) ([]member, bool) {
	var members []member
	p := parser{strings.Trim(s, " ")}
	for p.rest != "" {
		m, ok := p.member()
		if !ok || len(members) >= maxMembers {
			return nil, false
		}
		replaced := false
		for i := range members {
			if members[i].key == m.key {
				members[i], replaced = m, true
			}
		}
		if !replaced {
			members = append(members, m)
		}
		p.rest = strings.TrimLeft(p.rest, " \t")
		if p.rest == "" {
			return members, true
		}
		if !p.take(',') {
			return nil, false
		}
		if p.rest = strings.TrimLeft(p.rest, " \t"); p.rest == "" {
			return nil, false // a comma at the end
		}
	}
	return members, true
}

// parser reads a structured field from its start.
type parser struct{ rest string }

func (p *parser) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// while cuts off the bytes for which ok is true.
func (p *parser) while(ok func(byte) bool) string {
	n := 0
	for n < len(p.rest) && ok(p.rest[n]) {
		n++
	}
	head := p.rest[:n]
	p.rest = p.rest[n:]
	return head
}

func (p *parser) member() (m member, ok bool) {
	if m.key, ok = p.key(); !ok {
		return m, false
	}
	switch {
	case !p.take('='):
	case p.take('('):
		m.kind = isOther
		if !p.innerList() {
			return m, false
		}
	default:
		if m.kind, m.text, ok = p.bare(); !ok {
			return m, false
		}
	}
	return m, p.parameters()
}

// key is RFC 9651 §4.2.3.3.
func (p *parser) key() (string, bool) {
	if p.rest == "" || !lower(p.rest[0]) && p.rest[0] != '*' {
		return "", false
	}
	return p.while(func(c byte) bool { return lower(c) || digit(c) || strings.IndexByte("_-.*", c) >= 0 }), true
}

// parameters reads parameters, which mean nothing here (RFC 9651 §4.2.3.2, RFC 9213 §2.1).
func (p *parser) parameters() bool {
	for p.take(';') {
		p.rest = strings.TrimLeft(p.rest, " ")
		if _, ok := p.key(); !ok {
			return false
		}
		if p.take('=') {
			if _, _, ok := p.bare(); !ok {
				return false
			}
		}
	}
	return true
}

// innerList reads what follows the opening parenthesis (RFC 9651 §4.2.1.2).
func (p *parser) innerList() bool {
	for {
		p.rest = strings.TrimLeft(p.rest, " ")
		if p.take(')') {
			return true
		}
		if _, _, ok := p.bare(); !ok || !p.parameters() {
			return false
		}
		if p.rest == "" || p.rest[0] != ' ' && p.rest[0] != ')' {
			return false
		}
	}
}

// bare reads a bare item (RFC 9651 §4.2.3.1).
func (p *parser) bare() (kind int, text string, ok bool) {
	if p.rest == "" {
		return 0, "", false
	}
	switch c := p.rest[0]; {
	case c == '-' || digit(c):
		return p.number()
	case c == '"':
		p.rest = p.rest[1:]
		text, ok = p.quoted()
		return isString, text, ok
	case c == '*' || lower(c|0x20):
		p.while(func(c byte) bool { return httpwire.IsTokenByte(c) || c == ':' || c == '/' })
		return isOther, "", true
	case c == '?':
		p.rest = p.rest[1:]
		if p.take('1') {
			return isTrue, "", true
		}
		return isFalse, "", p.take('0')
	case c == ':':
		p.rest = p.rest[1:]
		p.while(func(c byte) bool { return lower(c|0x20) || digit(c) || c == '+' || c == '/' || c == '=' })
		return isOther, "", p.take(':')
	case c == '@':
		p.rest = p.rest[1:]
		kind, _, ok = p.number()
		return isOther, "", ok && kind == isInteger
	case c == '%':
		return isOther, "", p.display()
	}
	return 0, "", false
}

// number is RFC 9651 §4.2.4: at most 15 digits, or 12 and 3 after a point.
func (p *parser) number() (kind int, text string, ok bool) {
	sign := ""
	if p.take('-') {
		sign = "-"
	}
	whole := p.while(digit)
	if whole == "" || len(whole) > 15 {
		return 0, "", false
	}
	if !p.take('.') {
		return isInteger, sign + whole, true
	}
	fraction := p.while(digit)
	return isOther, "", len(whole) <= 12 && fraction != "" && len(fraction) <= 3
}

// quoted reads what follows the opening quote of a string (RFC 9651 §4.2.5).
func (p *parser) quoted() (string, bool) {
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '\\':
			if i++; i == len(p.rest) || p.rest[i] != '"' && p.rest[i] != '\\' {
				return "", false
			}
			b.WriteByte(p.rest[i])
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case c < ' ' || c > '~':
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// display reads a display string (RFC 9651 §4.2.10).
func (p *parser) display() bool {
	if !strings.HasPrefix(p.rest, `%"`) {
		return false
	}
	for i := 2; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return true
		case c < ' ' || c > '~':
			return false
		case c == '%':
			if i+2 >= len(p.rest) || strings.ToLower(p.rest[i+1:i+3]) != p.rest[i+1:i+3] {
				return false
			}
			if _, err := strconv.ParseUint(p.rest[i+1:i+3], 16, 8); err != nil {
				return false
			}
			i += 2
		}
	}
	return false
}

func lower(c byte) bool { return c >= 'a' && c <= 'z' }
func digit(c byte) bool { return c >= '0' && c <= '9' }
