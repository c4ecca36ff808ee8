package zone

import (
	"bytes"
	"fmt"
)

// generate makes records from a template: $GENERATE start-stop[/step] owner [TTL] [class] type data, as BIND has it. In owner
// and data, $ is the number and ${offset,width,base} the number plus offset in base d, o, x, X, n or N; \$ and $$ are a dollar.
func (p *parser) generate(f *file, args []token) {
	if p.MaxGenerate < 0 {
		p.failf(f, "", "$GENERATE is not allowed here")
		return
	}
	if len(args) < 4 {
		p.failf(f, "as in $GENERATE 1-9 host$ A 192.0.2.$", "$GENERATE takes a range, an owner, a type and data")
		return
	}
	start, stop, step, ok := parseRange(args[0].text)
	if !ok {
		p.failf(f, "write start-stop or start-stop/step, numbers below 2147483648", "%q is not a range", clip(args[0].text))
		return
	}
	if n := (stop-start)/step + 1; n > int64(p.MaxGenerate) {
		p.failf(f, "", "$GENERATE makes %d records, %d are the most", n, p.MaxGenerate)
		return
	}
	template, bad := cutTemplate(joinTokens(nil, args[1:]))
	if bad != "" {
		p.failf(f, "", "$GENERATE: %s", bad)
		return
	}
	line, made, errors := []byte(nil), 0, p.problems.errors
	sub := file{name: f.name, origin: f.origin, fixed: f.lexer.at}
	for i := start; i <= stop && !p.stop; i += step {
		if line, bad = expand(line[:0], template, i); bad != "" {
			p.failf(f, "", "$GENERATE at %d: %s", i, bad)
			return
		}
		if made += len(line); made > maxGenerateBytes {
			p.failf(f, "", "$GENERATE makes more than %d octets of text", maxGenerateBytes)
			return
		}
		if p.file(&sub, line); p.problems.errors > errors { // one mistake in the template is one mistake
			return
		}
	}
}

func parseRange(text []byte) (start, stop, step int64, ok bool) {
	text, by, hasStep := bytes.Cut(text, []byte("/"))
	from, to, ok := bytes.Cut(text, []byte("-"))
	a, ok1 := parseUint(from, maxTTL)
	b, ok2 := parseUint(to, maxTTL)
	c, ok3 := uint64(1), true
	if hasStep {
		c, ok3 = parseUint(by, maxTTL)
	}
	return int64(a), int64(b), int64(c), ok && ok1 && ok2 && ok3 && a <= b && c > 0
}

// joinTokens writes tokens as one line of zone text, without the comments, parentheses and line ends that were between them.
// Octets that are not printable become escapes.
func joinTokens(dst []byte, tokens []token) []byte {
	for i, t := range tokens {
		if i > 0 && !t.glued {
			dst = append(dst, ' ')
		}
		if t.quoted {
			dst = append(dst, '"')
		}
		escaped := false
		for _, c := range t.text {
			if c < ' ' || c > '~' {
				if escaped { // backslash, octet: the octet itself
					dst = dst[:len(dst)-1]
				}
				dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			} else {
				dst = append(dst, c)
			}
			escaped = c == '\\' && !escaped
		}
		if t.quoted {
			dst = append(dst, '"')
		}
	}
	return dst
}

// piece is literal text, and then the number if base says so.
type piece struct {
	text   []byte
	base   byte // 0: no number
	offset int64
	width  int
}

// cutTemplate finds the numbers in a template.
func cutTemplate(text []byte) (pieces []piece, bad string) {
	var literal []byte
	for len(text) > 0 {
		c := text[0]
		switch {
		case c == '\\' && len(text) > 1:
			literal, text = append(literal, text[:2]...), text[2:]
			continue
		case c != '$':
			literal, text = append(literal, c), text[1:]
			continue
		case len(text) > 1 && text[1] == '$': // kept for old files, as in BIND
			literal, text = append(literal, `\$`...), text[2:]
			continue
		}
		p := piece{text: literal, base: 'd'}
		literal, text = nil, text[1:]
		if len(text) > 0 && text[0] == '{' {
			end := bytes.IndexByte(text, '}')
			if end < 0 || !p.modify(text[1:end]) {
				return nil, "bad modifier; write ${offset,width,base}, with a width up to 255 and base d, o, x, X, n or N"
			}
			text = text[end+1:]
		}
		pieces = append(pieces, p)
	}
	return append(pieces, piece{text: literal}), ""
}

// modify reads offset[,width[,base]].
func (p *piece) modify(text []byte) bool {
	offset, rest, _ := bytes.Cut(text, []byte(","))
	width, base, hasBase := bytes.Cut(rest, []byte(","))
	digits, negative := bytes.CutPrefix(offset, []byte("-"))
	if !negative {
		digits = bytes.TrimPrefix(offset, []byte("+"))
	}
	v, ok := parseUint(digits, maxTTL)
	if p.offset = int64(v); negative {
		p.offset = -p.offset
	}
	if len(rest) > 0 {
		w, good := parseUint(width, 255)
		p.width, ok = int(w), ok && good
	}
	if hasBase {
		ok = ok && len(base) == 1 && bytes.IndexByte([]byte("doxXnN"), base[0]) >= 0
		if ok {
			p.base = base[0]
		}
	}
	return ok
}

// expand writes a template with its numbers, ending in a newline.
func expand(dst []byte, pieces []piece, i int64) (line []byte, bad string) {
	for _, p := range pieces {
		dst = append(dst, p.text...)
		v := i + p.offset
		switch {
		case p.base == 0:
			continue
		case v < 0:
			return dst, "number below zero"
		case p.base == 'n' || p.base == 'N':
			dst = appendNibbles(dst, v, p.width, p.base == 'N')
		case p.base == 'd':
			dst = fmt.Appendf(dst, "%0*d", p.width, v)
		case p.base == 'o':
			dst = fmt.Appendf(dst, "%0*o", p.width, v)
		case p.base == 'x':
			dst = fmt.Appendf(dst, "%0*x", p.width, v)
		default:
			dst = fmt.Appendf(dst, "%0*X", p.width, v)
		}
		if len(dst) > 1<<18 {
			return dst, "line is longer than 262,144 octets"
		}
	}
	return append(dst, '\n'), ""
}

// appendNibbles writes hexadecimal digits, the lowest first, with dots between them, as names under ip6.arpa have them. width
// counts digits and dots.
func appendNibbles(dst []byte, v int64, width int, upper bool) []byte {
	digits := "0123456789abcdef"
	if upper {
		digits = "0123456789ABCDEF"
	}
	for n := 0; ; {
		dst = append(dst, digits[v&15])
		v >>= 4
		if n++; v == 0 && n >= width {
			return dst
		}
		if n++; v == 0 && n >= width {
			return append(dst, '.') // BIND ends with a dot when the width is even
		}
		dst = append(dst, '.')
	}
}
