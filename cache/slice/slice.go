// Package slice is large bodies in slices of one size: which slice holds a byte, how one is asked for and what must come back, and a
// body that is read through them.
//
//	v := slice.NewVersion(fields, received, total)
//	v.Ask(&head.Fields, 7)             // Range and If-Match
//	err := v.Check(response, now, 7)   // ErrVersion: not what was asked for
//
// Only slices with the same strong validator, length and coding are put together (RFC 9111 section 3.4, attack rows R13 and F37).
package slice

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Limits of slices.
const (
	Size  = 1 << 20 // bytes of every slice but the last (attack row R12)
	Ahead = 4       // slices that a Window is filled ahead of the fastest of its readers
)

// ErrVersion says that the origin has another version than the one whose slice was asked for, or none.
var ErrVersion = errors.New("the origin has another version")

// ErrRefused says that the origin has answered with a status that says nothing of the version.
var ErrRefused = errors.New("the origin refuses a part")

// Span is where a slice is in a body of this length.
func Span(index, total int64) rules.Span {
	return rules.Span{Start: index * Size, End: min((index+1)*Size, total)}
}

// Count is how many slices a body of this length has.
func Count(total int64) int64 { return (total + Size - 1) / Size }

// Ask adds to a request what makes it one for a slice of a body whose length need not be known.
func Ask(head *httpwire.Fields, index int64) {
	rules.AppendRange(head, rules.Span{Start: index * Size, End: (index + 1) * Size})
}

// PartOf reports whether a response is just that slice of a body, all of which has the length total.
func PartOf(resp *httpwire.Response, index int64) (total int64, ok bool) {
	value, _ := resp.Fields.Get(httpwire.ContentRange)
	span, total, ok := rules.ParseContentRange(value)
	if !ok || resp.Status != 206 || resp.Body == nil || span != Span(index, total) {
		return 0, false
	}
	return total, resp.Length < 0 || resp.Length == span.End-span.Start
}

// Beyond reports whether nothing of a body satisfies a Range field, by what a 416 response says of its length.
func Beyond(resp *httpwire.Response, value string) bool {
	v, _ := resp.Fields.Get(httpwire.ContentRange)
	part, total, ok := rules.ParseContentRange(v)
	var room [rules.MaxRanges]rules.Span
	spans, _, heeded := rules.ParseRanges(room[:0], value, total)
	return ok && part == (rules.Span{}) && heeded && len(spans) == 0
}

// Strip makes a response that is that slice of a body with this length the 200 it is a part of, with the length of the part.
func Strip(resp *httpwire.Response, index, total int64) {
	span := Span(index, total)
	resp.Status, resp.Length = 200, span.End-span.Start
	resp.Fields.Del(httpwire.ContentRange)
}

// Part makes a response that is a slice a reader of a part of it, both ends counted from its start. Closing it ends the response.
func Part(resp *httpwire.Response, part rules.Span) (io.ReadCloser, error) {
	d := &direct{resp: resp, from: io.LimitReader(resp.Body, part.End)}
	if _, err := io.CopyN(io.Discard, d.from, part.Start); err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

type direct struct {
	resp *httpwire.Response
	from io.Reader
	read int64
	err  error // that from ended with, but for io.EOF
}

func (d *direct) Read(p []byte) (int, error) {
	n, err := d.from.Read(p)
	if d.read += int64(n); err != nil && err != io.EOF {
		d.err = err
	}
	return n, err
}

func (d *direct) Close() error {
	err := d.resp.Body.Close()
	if d.resp.Done != nil {
		d.resp.Done(d.read, d.err)
	}
	return err
}

// Version is what all slices of a body have in common. It is a value.
type Version struct {
	Validator string // one of rules.Strong's
	Total     int64  // bytes of the whole
	coding    string
}

// NewVersion is the version of a response with these fields. Its Validator is empty when there can be no slices of it.
func NewVersion(fields httpwire.Fields, received time.Time, total int64) Version {
	coding, _ := fields.Get(httpwire.ContentEncoding)
	return Version{Validator: rules.Strong(fields, received), Total: total, coding: coding}
}

// Text is printable, and no other version's: not of another variant, nor of one with tags that other purges hit.
func (v *Version) Text(variant rules.Variant, tags []string) string {
	parts := []string{v.Validator, strconv.FormatInt(v.Total, 10), v.coding, strings.Join(tags, ","), variant.Key()}
	return strings.TrimRight(strings.Join(parts, " "), " ")
}

// Ask adds to a request what makes it one for a slice of this version and no other.
func (v *Version) Ask(head *httpwire.Fields, index int64) {
	Ask(head, index)
	rules.Require(head, v.Validator)
}

// Check holds the answer to such a request against the version. An error wraps ErrVersion or ErrRefused.
func (v *Version) Check(resp *httpwire.Response, received time.Time, index int64) error {
	switch resp.Status {
	case 206:
		total, ok := PartOf(resp, index)
		if ok && NewVersion(resp.Fields, received, total) == *v {
			return nil
		}
		return fmt.Errorf("%w: a part of it", ErrVersion)
	case 200, 404, 410, 412, 416:
		return fmt.Errorf("%w: status %d", ErrVersion, resp.Status)
	}
	return fmt.Errorf("%w: status %d", ErrRefused, resp.Status)
}
