package httpwire

import (
	"io"
	"strings"
)

// textBody is a Body over a string.
type textBody struct{ strings.Reader }

// TextBody returns a Body that reads s and writes itself in one piece.
func TextBody(s string) Body {
	b := &textBody{}
	b.Reset(s)
	return b
}

// Close implements io.Closer; there is nothing to close.
func (*textBody) Close() error { return nil }

var _ io.WriterTo = (*textBody)(nil)
