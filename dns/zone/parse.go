package zone

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Limits of zone text. They bound what one file can cost, whoever wrote it.
const (
	DefaultMaxErrors   = 20         // reported for one zone before reading stops
	DefaultMaxRecords  = 20_000_000 // in one zone
	DefaultMaxGenerate = 65_536     // records that one $GENERATE may make
	maxIncludeDepth    = 8          // files open at once, the zone's own included
	maxIncludes        = 1000       // $INCLUDE directives in one zone
	maxFile            = 1 << 30    // octets in one file
	maxGenerateBytes   = 16 << 20   // octets of text that one $GENERATE may make
)

// ParseOptions says how zone text is read. The zero value of each field but Origin has a meaning.
type ParseOptions struct {
	Origin     []byte   // the zone's name in wire form; required
	File       string   // name of the text in problems; $INCLUDE is relative to its folder within Root
	Root       *os.Root // what $INCLUDE may open; nil refuses $INCLUDE
	DefaultTTL uint32   // seconds, for a record without any TTL; 0: such a record is an error, as RFC 2308 section 4 has it
	MaxErrors  int      // 0: DefaultMaxErrors
	MaxRecords int      // 0: DefaultMaxRecords
	// MaxGenerate is how many records one $GENERATE may make; 0: DefaultMaxGenerate, negative: $GENERATE is refused.
	MaxGenerate int
}

// Parse reads the text of a zone (RFC 1035 section 5, RFC 2308 section 4, RFC 3597). It returns either the zone and its
// warnings, or an error that joins a Problem for each mistake that was found, up to MaxErrors. Check is not run. text is not
// kept.
func Parse(text []byte, o ParseOptions) (*Data, []Problem, error) {
	open := func(string) ([]byte, error) { return nil, errors.New("$INCLUDE is not allowed here") }
	if o.Root != nil {
		open = func(name string) ([]byte, error) {
			text, _, err := readStable(o.Root, name, nil)
			return text, err
		}
	}
	p := newParser(o, open)
	p.file(&file{name: o.File, origin: p.b.origin}, text)
	return p.result()
}

// parser reads one zone.
type parser struct {
	ParseOptions
	b        *Builder
	problems problems
	open     func(name string) ([]byte, error)
	onlySlow bool // take miekg/dns for all types it knows; tests compare the lanes

	ttl       uint32 // the default, good if ttlFrom says so
	ttlFrom   ttlSource
	stack     []string // files being read
	includes  int
	owner     []byte // scratch
	rdata     []byte // scratch
	codecText []byte // scratch
	stop      bool   // nothing more is worth reading
}

// ttlSource orders where a default TTL came from.
type ttlSource uint8

const (
	noTTL     ttlSource = iota
	lastTTL             // the last one written in a record (RFC 1035 section 5.1)
	directive           // $TTL, which beats those (RFC 2308 section 4)
)

// file is the state of one text: what an $INCLUDE hides and gives back (RFC 1035 section 5.1).
type file struct {
	name   string
	origin []byte
	owner  []byte // of the last record; nil before the first
	lexer  lexer
	fixed  int // when not 0, the line that the text was made from
}

func newParser(o ParseOptions, open func(string) ([]byte, error)) *parser {
	orDefault := func(n *int, def int) {
		if *n == 0 {
			*n = def
		}
	}
	orDefault(&o.MaxErrors, DefaultMaxErrors)
	orDefault(&o.MaxRecords, DefaultMaxRecords)
	orDefault(&o.MaxGenerate, DefaultMaxGenerate)
	p := &parser{ParseOptions: o, b: NewBuilder(o.Origin), open: open, problems: problems{maxErrors: o.MaxErrors}}
	if o.DefaultTTL > 0 {
		p.ttl, p.ttlFrom = min(o.DefaultTTL, maxTTL), lastTTL
	}
	return p
}

func (p *parser) result() (*Data, []Problem, error) {
	var d *Data
	if p.problems.errors == 0 {
		var err error
		if d, err = p.b.Build(); err != nil {
			p.problems.add(Problem{Severity: Error, File: p.File, Name: NameText(p.b.origin), Text: err.Error(), Remedy: soaRemedy(err)})
		}
		for _, m := range p.b.mixed {
			p.problems.add(Problem{
				File: p.File, Name: NameText(m.name), Type: m.typ,
				Text: fmt.Sprintf("TTLs of one set differ, the least is taken: %d", m.ttl), Remedy: "give all its records one TTL (RFC 2181 section 5.2)",
			})
		}
	}
	list := p.problems.done()
	if err := failure(list); err != nil {
		return nil, list, err
	}
	return d, list, nil
}

func soaRemedy(err error) string {
	if errors.Is(err, errNoSOA) {
		return "begin with: @ 3600 IN SOA ns1 hostmaster 1 7200 3600 1209600 3600; see that the zone's name is the one in the file"
	}
	return ""
}

// file reads one text to its end.
func (p *parser) file(f *file, text []byte) {
	f.lexer = lexer{src: bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), line: 1, tokens: f.lexer.tokens}
	if f.fixed == 0 {
		p.stack = append(p.stack, f.name)
		defer func() { p.stack = p.stack[:len(p.stack)-1] }()
		if len(text) > 0 && text[len(text)-1] != '\n' {
			p.warn(f, 1+bytes.Count(text, []byte("\n")), "text does not end with a newline", "see that the file is complete")
		}
	}
	if f.fixed == 0 && p.b.Len() == 0 {
		p.b.reserve(min(bytes.Count(text, []byte("\n")), len(text)/8, 1<<20), min(len(text)+len(text)/4, 64<<20))
	}
	for !p.stop && f.lexer.entry() {
		if f.lexer.bad != "" {
			p.fail(f, f.lexer.badLine, f.lexer.bad, f.lexer.remedy)
			continue
		}
		p.entry(f)
	}
}

func (p *parser) entry(f *file) {
	first := &f.lexer.tokens[0]
	if f.lexer.indented || first.quoted || first.text[0] != '$' || f.fixed != 0 {
		p.record(f)
		return
	}
	args := f.lexer.tokens[1:]
	switch {
	case first.is("$ttl"):
		p.setTTL(f, args)
	case first.is("$origin"):
		p.setOrigin(f, args)
	case first.is("$include"):
		p.include(f, args)
	case first.is("$generate"):
		p.generate(f, args)
	default:
		p.failf(f, `write a name that starts with a dollar as \$`, "unknown directive %q", clip(first.text))
	}
}

func (p *parser) setTTL(f *file, args []token) {
	if len(args) != 1 {
		p.failf(f, "as in $TTL 3600", "$TTL takes one span of time")
		return
	}
	if ttl, ok := p.seconds(f, args[0]); ok {
		p.ttl, p.ttlFrom = ttl, directive
	}
}

// seconds reads a TTL and reports a bad one.
func (p *parser) seconds(f *file, t token) (ttl uint32, ok bool) {
	v, ok := parseSeconds(t.text, maxTTL)
	switch {
	case !ok || t.quoted:
		p.failf(f, "write seconds, or units as in 1h30m", "%q is not a TTL", clip(t.text))
		return 0, false
	case v > maxTTL:
		p.failf(f, "", "TTL %s is larger than %d (RFC 2181 section 8)", clip(t.text), maxTTL)
		return 0, false
	}
	return uint32(v), true
}

func (p *parser) setOrigin(f *file, args []token) {
	if len(args) != 1 || args[0].quoted {
		p.failf(f, "as in $ORIGIN sub.example.org.", "$ORIGIN takes one name")
		return
	}
	origin, bad := appendName(nil, args[0].text, f.origin)
	if bad != "" {
		p.failf(f, "", "$ORIGIN %q: %s", clip(args[0].text), bad)
		return
	}
	f.origin = origin
}

// include reads another file in place. Its folder is the including file's; what the file does to origin and owner ends
// with it, while $TTL goes on for "all resource records appearing after the directive" (RFC 2308 section 4).
func (p *parser) include(f *file, args []token) {
	if len(args) == 0 || len(args) > 2 || len(args) == 2 && args[1].quoted {
		p.failf(f, "as in $INCLUDE hosts.inc sub.example.org.", "$INCLUDE takes a file and at most one name")
		return
	}
	origin := f.origin
	if len(args) == 2 {
		var bad string
		if origin, bad = appendName(nil, args[1].text, f.origin); bad != "" {
			p.failf(f, "", "$INCLUDE: origin %q: %s", clip(args[1].text), bad)
			return
		}
	}
	name := string(args[0].text)
	if !path.IsAbs(name) {
		name = path.Join(path.Dir(f.name), name)
	} else if p.Root != nil {
		name = within(p.Root.Name(), name)
	}
	for _, open := range p.stack {
		if path.Clean(open) == name {
			p.failf(f, "", "$INCLUDE of %s, which is being read", name)
			return
		}
	}
	if p.includes++; len(p.stack) >= maxIncludeDepth || p.includes > maxIncludes {
		p.failf(f, "", "$INCLUDE nests deeper than %d files, or comes more than %d times", maxIncludeDepth, maxIncludes)
		p.stop = p.includes > maxIncludes
		return
	}
	text, err := p.open(name)
	if err != nil {
		p.failf(f, "files are looked for beside the including one, within the zone folder only", "$INCLUDE: %v", err)
		return
	}
	p.file(&file{name: name, origin: origin}, text)
}

// within makes an absolute path relative to root if it lies there, and leaves it alone, to be refused, if not.
func within(root, name string) string {
	if rest, ok := strings.CutPrefix(path.Clean(name), path.Clean(root)+"/"); ok {
		return rest
	}
	return name
}

// head is what stands before a record's data.
type head struct {
	typ    uint16
	ttl    uint32
	hasTTL bool
	data   []token
}

func (p *parser) record(f *file) {
	tokens := f.lexer.tokens
	if !f.lexer.indented {
		if tokens[0].quoted {
			p.failf(f, "", "owner name is quoted")
			return
		}
		owner, bad := appendName(p.owner[:0], tokens[0].text, f.origin)
		if bad != "" {
			p.failf(f, "", "owner %q: %s", clip(tokens[0].text), bad)
			return
		}
		p.owner, f.owner, tokens = owner, append(f.owner[:0], owner...), tokens[1:]
	} else if f.owner == nil {
		p.failf(f, "begin the line with a name, or with @ for the origin", "line begins with a blank, and there is no owner before it in this file")
		return
	}
	h, ok := p.head(f, tokens)
	if !ok {
		return
	}
	data, bad, remedy := p.data(h.typ, h.data, f.origin)
	if bad != "" {
		p.problem(f, Problem{Severity: Error, Name: NameText(f.owner), Type: h.typ, Text: bad, Remedy: remedy})
		return
	}
	if !h.hasTTL && !p.defaultTTL(f, &h, data) {
		return
	}
	if h.hasTTL && p.ttlFrom != directive {
		p.ttl, p.ttlFrom = h.ttl, lastTTL
	}
	p.add(f, Record{Name: f.owner, Type: h.typ, TTL: h.ttl, RData: data})
}

// head reads TTL and class, in either order, and the type.
func (p *parser) head(f *file, tokens []token) (h head, ok bool) {
	class := false
	for ; len(tokens) > 0 && !tokens[0].quoted; tokens = tokens[1:] {
		t := tokens[0]
		switch {
		case !h.hasTTL && t.text[0]-'0' <= 9:
			if h.ttl, h.hasTTL = p.seconds(f, t); !h.hasTTL {
				return h, false
			}
			continue
		case !class && (t.is("in") || t.is("class1")):
			class = true
			continue
		case t.is("ch"), t.is("hs"), t.is("cs"), t.is("none"), len(t.text) > 5 && token{text: t.text[:5]}.is("class"):
			p.failf(f, "zones are of class IN", "class %s", clip(t.text))
			return h, false
		}
		h.typ, ok = parseType(t.text)
		switch {
		case !ok:
			p.failf(f, `a type without a name is written as in TYPE65280 \# 2 0a0b (RFC 3597)`, "%q is not a record type, TTL or class", clip(t.text))
		case !isData(h.typ):
			p.failf(f, "", "type %s cannot stand in a zone", clip(t.text))
			ok = false
		}
		h.data = tokens[1:]
		return h, ok
	}
	p.failf(f, "", "record has no type")
	return h, false
}

// defaultTTL finds the TTL of a record that has none: $TTL, the last one written, or for the SOA its own minimum, as RFC 1035
// had it and BIND still does.
func (p *parser) defaultTTL(f *file, h *head, data []byte) bool {
	if p.ttlFrom == noTTL {
		if h.typ != dnswire.TypeSOA || len(data) < 22 {
			p.failf(f, "put $TTL 3600 at the top of the file", "record has no TTL, and there is none before it")
			return false
		}
		p.ttl, p.ttlFrom = min(be32(data[len(data)-4:]), maxTTL), lastTTL
		p.warn(f, f.lexer.at, "no TTL; the SOA's minimum is taken", "put $TTL at the top of the file (RFC 2308 section 4)")
	}
	h.ttl = p.ttl
	return true
}

func (p *parser) add(f *file, r Record) {
	if p.b.Len() >= p.MaxRecords {
		p.failf(f, "", "zone has more than %d records", p.MaxRecords)
		p.stop = true
		return
	}
	switch err := p.b.Add(r); {
	case errors.Is(err, ErrOutside):
		p.problem(f, Problem{Name: NameText(r.Name), Type: r.Type, Text: "record is outside the zone and ignored", Remedy: "is a dot missing, or one too many, at the end of a name?"})
	case err != nil:
		p.failf(f, "", "%v", err)
		p.stop = true
	}
}

// problem notes a problem at the entry being read, or at pr.Line.
func (p *parser) problem(f *file, pr Problem) {
	pr.File = f.name
	if pr.Line == 0 {
		pr.Line = f.lexer.at
	}
	if f.fixed != 0 {
		pr.Line = f.fixed
	}
	p.problems.add(pr)
	p.stop = p.stop || p.problems.full()
}

func (p *parser) fail(f *file, line int, text, remedy string) {
	p.problem(f, Problem{Severity: Error, Line: line, Text: text, Remedy: remedy})
}

func (p *parser) failf(f *file, remedy, format string, args ...any) {
	p.fail(f, 0, fmt.Sprintf(format, args...), remedy)
}

func (p *parser) warn(f *file, line int, text, remedy string) {
	p.problem(f, Problem{Line: line, Text: text, Remedy: remedy})
}

// clip keeps a word in a message short.
func clip(text []byte) []byte {
	if len(text) > 40 {
		return append(append([]byte(nil), text[:40]...), "..."...)
	}
	return text
}
