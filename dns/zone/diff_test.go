package zone_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/meridian-edge/meridian/dns/zone"
)

func TestSerialNumbersAreComparedOnTheCircle(t *testing.T) {
	f := func(a, b uint32, want bool) {
		t.Helper()
		if got := zone.SerialLess(a, b); got != want {
			t.Errorf("%d < %d: %v", a, b, got)
		}
	}
	f(1, 2, true)
	f(2, 1, false)
	f(1, 1, false)
	f(1<<32-1, 0, true)
	f(0, 1<<32-1, false)
	f(0, 1<<31-1, true)
	f(0, 1<<31, false) // no order, either way (RFC 1982 section 3.2)
	f(1<<31, 0, false)
	if a, b := zone.NextSerial(7), zone.NextSerial(1<<32-1); a != 8 || b != 1 {
		t.Error(a, b)
	}
}

// part parses the records behind head.
func part(t *testing.T, text string) iter.Seq[zone.Record] {
	t.Helper()
	base := mustParse(t, []byte(head))
	_, added := zone.Diff(base, mustParse(t, []byte(head+text)))
	return added
}

func none(func(zone.Record) bool) {}

func TestApplyChangesOneVersionIntoAnother(t *testing.T) {
	old := mustParse(t, []byte(head+"a 60 A 192.0.2.1\na 60 A 192.0.2.2\na TXT x\nb A 192.0.2.1\n*.c A 192.0.2.1\n"))
	before := lines(old)
	f := func(removed, added iter.Seq[zone.Record], want string) {
		t.Helper()
		got, err := zone.Apply(old, removed, added)
		if err != nil {
			t.Fatal(err)
		}
		if wanted := mustParse(t, []byte(head+want)); !slices.Equal(lines(got), lines(wanted)) || got.Len() != wanted.Len() || got.Size() > wanted.Size()*2 {
			t.Errorf("got %q\nwant %q", lines(got), lines(wanted))
		}
	}
	f(none, none, "a 60 A 192.0.2.1\na 60 A 192.0.2.2\na TXT x\nb A 192.0.2.1\n*.c A 192.0.2.1\n")
	f(part(t, "a TXT x\nb A 192.0.2.1\n"), none, "a 60 A 192.0.2.1\na 60 A 192.0.2.2\n*.c A 192.0.2.1\n")
	f(none, part(t, "a AAAA 2001:db8::1\nA MX 1 x\nzz A 192.0.2.1\n"), "a 60 A 192.0.2.1\na 60 A 192.0.2.2\na TXT x\na AAAA 2001:db8::1\na MX 1 x\nb A 192.0.2.1\n*.c A 192.0.2.1\nzz A 192.0.2.1\n")
	f(part(t, "a 99 A 192.0.2.1\n"), none, "a 60 A 192.0.2.2\na TXT x\nb A 192.0.2.1\n*.c A 192.0.2.1\n")                                                    // the TTL is no part of a removal
	f(part(t, "a 60 A 192.0.2.1\n"), part(t, "a 60 A 192.0.2.1\n"), "a 60 A 192.0.2.1\na 60 A 192.0.2.2\na TXT x\nb A 192.0.2.1\n*.c A 192.0.2.1\n")         // out first, then in
	f(none, part(t, "a 30 A 192.0.2.3\nb A 192.0.2.1\n"), "a 30 A 192.0.2.1\na 30 A 192.0.2.2\na 30 A 192.0.2.3\na TXT x\nb A 192.0.2.1\n*.c A 192.0.2.1\n") // one set, one TTL
	if !slices.Equal(lines(old), before) {
		t.Error("the old version has changed")
	}
	for _, removed := range []string{"a A 192.0.2.9\n", "a MX 1 x\n", "x A 192.0.2.1\n"} {
		if _, err := zone.Apply(old, part(t, removed), none); !errors.Is(err, zone.ErrAbsent) {
			t.Errorf("%s: %v", removed, err)
		}
	}
	outside := func(yield func(zone.Record) bool) {
		yield(zone.Record{Name: []byte{0}, Type: 1, RData: make([]byte, 4)})
	}
	if _, err := zone.Apply(old, none, outside); !errors.Is(err, zone.ErrOutside) {
		t.Error(err)
	}
	if _, err := zone.Apply(old, old.Records(), none); err == nil {
		t.Error("a zone without an SOA")
	}
	if removed, added := zone.Diff(nil, old); len(slices.Collect(removed)) != 0 || len(slices.Collect(added)) != old.Len() {
		t.Error("no version has no records")
	}
}

func TestAnotherSerialNumberLeavesTheRestAlone(t *testing.T) {
	old := mustParse(t, bigText(5000))
	next, err := old.WithSerial(9)
	if err != nil || next.Serial() != 9 || old.Serial() != 7 {
		t.Fatal(err)
	}
	removed, added := zone.Diff(old, next)
	if got := fmt.Sprint(len(slices.Collect(removed)), len(slices.Collect(added)), next.Len() == old.Len()); got != "1 1 true" {
		t.Error(got)
	}
}
