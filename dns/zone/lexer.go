package zone

import "bytes"

// token is a word or a quoted string of zone text, its escapes still in it.
type token struct {
	text   []byte
	line   int
	quoted bool
	glued  bool // nothing stood between it and the token before, as in key="value"
}

// is reports whether the token is a bare word, compared without regard to case. word is in lower case.
func (t token) is(word string) bool {
	if t.quoted || len(t.text) != len(word) {
		return false
	}
	for i, c := range t.text {
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// maxTokens bounds an entry: data of 65,535 octets has no more words.
const maxTokens = 70_000

// lexer cuts zone text into entries (RFC 1035 section 5.1): the tokens up to the end of a line that is inside no parentheses.
type lexer struct {
	src  []byte
	pos  int
	line int // of pos

	// The entry last read.
	tokens   []token
	indented bool // began with a blank, so that its owner is the one before
	at       int  // line of its first token
	bad      string
	badLine  int
	remedy   string
}

// breaks ends a word.
var breaks = [256]bool{' ': true, '\t': true, '\r': true, '\n': true, '"': true, '(': true, ')': true, ';': true}

// entry reads the next entry that has a token. false is the end of the text. An entry that cannot be cut sets bad; reading
// goes on behind its line.
func (l *lexer) entry() bool {
	l.tokens, l.bad = l.tokens[:0], ""
	depth, opened, gap := 0, 0, true
	l.indented = l.blank()
	for l.pos < len(l.src) {
		if len(l.tokens) > maxTokens {
			return l.fail("record has more than 70,000 words", "is a parenthesis not closed?")
		}
		switch l.src[l.pos] {
		case ' ', '\t', '\r':
			l.pos, gap = l.pos+1, true
		case '\n':
			l.pos, l.line, gap = l.pos+1, l.line+1, true
			if depth > 0 {
				continue
			}
			if len(l.tokens) > 0 {
				return true
			}
			l.indented = l.blank()
		case ';':
			l.toEnd()
		case '(':
			if depth++; depth == 1 {
				opened = l.line
			}
			l.pos, gap = l.pos+1, true
		case ')':
			if depth--; depth < 0 {
				return l.fail("closing parenthesis without an opening one", `write \) for a literal one`)
			}
			l.pos, gap = l.pos+1, true
		case '"':
			if !l.quote(gap) {
				return true
			}
			gap = false
		default:
			if !l.word(gap) {
				return true
			}
			gap = false
		}
	}
	if depth > 0 {
		l.fail("parenthesis is never closed", "close it with ) on the record's last line")
		l.badLine = opened
		return true
	}
	return len(l.tokens) > 0
}

func (l *lexer) blank() bool {
	return l.pos < len(l.src) && (l.src[l.pos] == ' ' || l.src[l.pos] == '\t')
}

// toEnd goes to the end of the line.
func (l *lexer) toEnd() {
	if n := bytes.IndexByte(l.src[l.pos:], '\n'); n >= 0 {
		l.pos += n
	} else {
		l.pos = len(l.src)
	}
}

func (l *lexer) fail(text, remedy string) bool {
	l.bad, l.badLine, l.remedy = text, l.line, remedy
	l.toEnd()
	return true
}

func (l *lexer) push(from, to int, quoted, gap bool) {
	if len(l.tokens) == 0 {
		l.at = l.line
	}
	l.tokens = append(l.tokens, token{text: l.src[from:to:to], line: l.line, quoted: quoted, glued: !gap})
}

func (l *lexer) word(gap bool) bool {
	from := l.pos
	for l.pos < len(l.src) && !breaks[l.src[l.pos]] {
		if l.src[l.pos] == '\\' {
			if l.pos++; l.pos == len(l.src) || l.src[l.pos] == '\n' || l.src[l.pos] == '\r' {
				l.fail("backslash at the end of a line", `write \\ for a literal one; parentheses continue a line`)
				return false
			}
		}
		l.pos++
	}
	l.push(from, l.pos, false, gap)
	return true
}

func (l *lexer) quote(gap bool) bool {
	l.pos++
	from := l.pos
	for ; l.pos < len(l.src) && l.src[l.pos] != '\n'; l.pos++ {
		switch l.src[l.pos] {
		case '"':
			l.push(from, l.pos, true, gap)
			l.pos++
			return true
		case '\\':
			if l.pos+1 < len(l.src) && l.src[l.pos+1] != '\n' {
				l.pos++
			}
		}
	}
	l.pos = min(l.pos, len(l.src))
	l.fail("quoted string is not closed on its line", `write \" for a quote inside the string`)
	return false
}
