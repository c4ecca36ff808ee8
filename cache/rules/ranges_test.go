package rules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/cache/rules"
)

// TestRanges is RFC 9110 section 14.1.2 and 14.2, and attack row R11.
func TestRanges(t *testing.T) {
	type spans = []rules.Span
	for _, test := range []struct {
		value string
		want  spans
		tidy  bool
		ok    bool
	}{
		{"bytes=0-0", spans{{0, 1}}, true, true},
		{"BYTES=2-", spans{{2, 100}}, true, true},
		{"bytes=-5", spans{{95, 100}}, true, true},
		{"bytes=-500", spans{{0, 100}}, true, true},
		{"bytes=90-500", spans{{90, 100}}, true, true},
		{"bytes=-9223372036854775808", spans{{0, 100}}, true, true},
		{"bytes= 0-1 ,\t5-6", spans{{0, 2}, {5, 7}}, true, true},
		{"bytes=0-1,,5-6,", spans{{0, 2}, {5, 7}}, true, true},
		{"bytes=5-6,0-1", spans{{5, 7}, {0, 2}}, false, true},           // the order is the client's
		{"bytes=0-9,5-19", spans{{0, 20}}, false, true},                 // they overlap
		{"bytes=0-9,10-19", spans{{0, 20}}, false, true},                // they touch
		{"bytes=50-59,0-9,5-19", spans{{0, 20}, {50, 60}}, false, true}, // sorted where anything was made one
		{"bytes=0-,0-,0-,0-", spans{{0, 100}}, false, true},             // the Apache killer
		{"bytes=0-0,200-300", spans{{0, 1}}, false, true},               // what is beyond the end is left out
		{"bytes=100-", spans{}, false, true},                            // nothing is left
		{"bytes=-0", spans{}, false, true},
		{"bytes=200-,300-400", spans{}, false, true},
		{"bytes=" + strings.Repeat("1-1,", 16), spans{{1, 2}}, false, true},
		{"bytes=" + strings.Repeat("1-1,", 17), nil, false, false},
		{"bytes=0-1,x", nil, false, false},
		{"bytes=5-4", nil, false, false},
		{"bytes=0-1,5-4", nil, false, false},
		{"bytes=", nil, false, false},
		{"bytes=,", nil, false, false},
		{"bytes=-", nil, false, false},
		{"bytes=+1-2", nil, false, false},
		{"bytes 0-1", nil, false, false},
		{"lines=0-1", nil, false, false},
		{"", nil, false, false},
	} {
		got, tidy, ok := rules.ParseRanges(nil, test.value, 100)
		if !slices.Equal(got, test.want) || tidy != test.tidy || ok != test.ok {
			t.Errorf("%.40q: %v %v %v, want %v %v %v", test.value, got, tidy, ok, test.want, test.tidy, test.ok)
		}
		if rules.UsesRange(test.value) != test.ok {
			t.Errorf("%.40q: UsesRange is not %v", test.value, test.ok)
		}
	}
}
