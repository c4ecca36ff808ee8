package zone

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Severity says what a problem means for the zone.
type Severity uint8

// The severities.
const (
	Warning Severity = iota // the zone can be served; somebody should look
	Error                   // the zone must not be served
)

// String is "warning" or "error".
func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// Problem is one thing that is wrong with a zone.
type Problem struct {
	Severity Severity
	File     string // where, as it was opened; empty when no text is at hand
	Line     int    // from 1; 0 when the problem is of no one line
	Name     string // owner in presentation form, or empty
	Type     uint16 // of the record or set, 0 when the problem is of none
	Text     string // what is wrong, lower case
	Remedy   string // what to do about it, or empty
}

// Error is the problem in one line: file:line: owner TYPE: what (remedy).
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			b.WriteString(":" + strconv.Itoa(p.Line))
		}
		b.WriteString(": ")
	}
	switch {
	case p.Name != "" && p.Type != 0:
		b.WriteString(p.Name + " " + typeName(p.Type) + ": ")
	case p.Name != "":
		b.WriteString(p.Name + ": ")
	}
	b.WriteString(p.Text)
	if p.Remedy != "" {
		b.WriteString(" (" + p.Remedy + ")")
	}
	return b.String()
}

// problems collects, within bounds: what is wrong with one zone may be wrong with each of its million records.
type problems struct {
	list             []Problem
	maxErrors        int
	errors, warnings int // all that were reported
	dropped          int // warnings that found no place
}

const maxWarnings = 50

func (l *problems) add(p Problem) {
	if p.Severity == Error {
		if l.errors++; l.errors > l.maxErrors {
			return
		}
	} else if l.warnings++; l.warnings > maxWarnings {
		l.dropped++
		return
	}
	l.list = append(l.list, p)
}

// full says that another error would not be kept.
func (l *problems) full() bool { return l.errors >= l.maxErrors }

// done ends the list with a word about what it does not hold.
func (l *problems) done() []Problem {
	if l.dropped > 0 {
		l.list = append(l.list, Problem{Text: fmt.Sprintf("%d more warnings", l.dropped)})
		l.dropped = 0
	}
	return l.list
}

// failure joins the errors among the problems; nil when there are none.
func failure(list []Problem) error {
	var errs []error
	for _, p := range list {
		if p.Severity == Error {
			errs = append(errs, p)
		}
	}
	return errors.Join(errs...)
}
