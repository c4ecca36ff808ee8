package demo

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/steer"
)

// terminal keeps what a terminal would show after lines, ESC [ n A and ESC [ J.
func terminal(output string) []string {
	var lines []string
	at := 0
	for line := range strings.SplitAfterSeq(output, "\n") {
		for {
			m := regexp.MustCompile(`^\x1b\[(\d*)([AJ])`).FindStringSubmatch(line)
			if m == nil {
				break
			}
			if n, err := strconv.Atoi(m[1]); err == nil && m[2] == "A" {
				at = max(at-n, 0)
			} else if m[2] == "J" {
				lines = lines[:at]
			}
			line = line[len(m[0]):]
		}
		if text, whole := strings.CutSuffix(line, "\n"); whole {
			lines = append(lines[:at], text)
			at++
		}
	}
	return lines
}

func someRows(n int) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = row{Countries: []string{fmt.Sprintf("C%d", i)}, Edge: "eu", Why: "nearest", Origin: "lon"}
	}
	return rows
}

func TestLiveTableIsDrawnOverItself(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out, live, false, 60)
	s.print("header")
	s.refresh(&seen{}, someRows(3))
	s.event(Event{Kind: eventStep, Text: "first"})
	s.refresh(&seen{Requests: 1234}, someRows(1))
	s.event(Event{Kind: eventProblem, Text: strings.Repeat("long ", 40)})
	s.refresh(&seen{Requests: 5678}, someRows(2))
	s.finish()
	s.print("end")
	got := terminal(out.String())
	if len(got) != 3+1+1+1+2+1 {
		t.Fatalf("%d lines:\n%s", len(got), strings.Join(got, "\n"))
	}
	if got[0] != "header" || !strings.Contains(got[1], "first") || !strings.Contains(got[4], "5,678 requests") || got[len(got)-1] != "end" {
		t.Errorf("\n%s", strings.Join(got, "\n"))
	}
	for _, line := range got[3 : len(got)-1] {
		if n := len([]rune(line)); n > 60 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestPlainOutputHasNoEscapesAndRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := newScreen(&out, plain, true, 0)
		refresh := func(times, rows int) {
			for range times {
				time.Sleep(liveEvery)
				s.refresh(&seen{}, someRows(rows))
			}
		}
		refresh(10, 2)
		s.event(Event{AtS: 61.25, Kind: eventHealth, Text: "eu: lon is down"})
		refresh(1, 3) // on the way
		refresh(5, 1)
		refresh(1, 3)
		refresh(5, 1) // as before
		text := out.String()
		if strings.Contains(text, "\x1b") || strings.Count(text, "answered by") != 2 || strings.Contains(text, "C2") || strings.Count(text, "requests") != 1 {
			t.Errorf("\n%s", text)
		}
		if !strings.Contains(text, "1:01.2 health  eu: lon is down") {
			t.Errorf("\n%s", text)
		}
	})
}

func TestColorsOnlyOnATerminal(t *testing.T) {
	for m, want := range map[mode]bool{live: true, plain: false} {
		var out bytes.Buffer
		s := newScreen(&out, m, true, 0)
		s.event(Event{Kind: eventStep, Text: "x"})
		if got := strings.Contains(out.String(), "\x1b[1m"); got != want {
			t.Errorf("mode %d: colors %t", m, got)
		}
	}
}

func TestSilentScreenShowsNothing(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out, silent, true, 0)
	s.event(Event{Kind: eventStep, Text: "x"})
	s.refresh(&seen{}, someRows(2))
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}

func TestCountriesServedAlikeShareALine(t *testing.T) {
	now := &seen{ByCountry: map[string]countryStats{
		"GB": {Edge: "eu", Origin: "lon"}, "FR": {Edge: "eu", Origin: "lon"}, "US": {Edge: "us", Origin: "nyc"}, "DE": {Edge: "us", Origin: "nyc"},
	}}
	reasons := map[string]reason{
		"GB": {Edge: "eu", Text: "nearest", Distance: "876"}, "FR": {Edge: "eu", Text: "nearest", Distance: "616"},
		"US": {Edge: "us", Text: "nearest", Distance: "1,809"}, "DE": {Edge: "eu", Text: "nearest", Distance: "171"}, // of before it moved
	}
	got := tableRows(candidates(), now, reasons)
	want := []row{
		{Countries: []string{"GB 876", "FR 616"}, Edge: "eu", Why: "nearest", Origin: "lon"},
		{Countries: []string{"DE"}, Edge: "us", Origin: "nyc"},
		{Countries: []string{"US 1,809"}, Edge: "us", Why: "nearest", Origin: "nyc"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReasonNamesNearerEdgesThatAreDown(t *testing.T) {
	e := &dns.Explanation{Hops: []dns.Hop{{Steps: steer.Trace{
		{Member: "us", Result: "chosen", Detail: "5683 km, up (200 in 1ms)"},
		{Member: "ap", Result: "candidate", Detail: "9361 km, up"},
		{Member: "eu", Result: "last resort", Detail: "876 km, down (connection refused)"},
	}}}}
	if got := reasonOf(e); got != (reason{Edge: "us", Text: "nearest is down: eu", Distance: "5,683"}) {
		t.Errorf("%+v", got)
	}
	e.Hops[0].Steps = e.Hops[0].Steps[:2]
	if got := reasonOf(e); got != (reason{Edge: "us", Text: "nearest", Distance: "5,683"}) {
		t.Errorf("%+v", got)
	}
	if got := reasonOf(&dns.Explanation{}); got != (reason{}) {
		t.Errorf("%+v", got)
	}
}

func TestFigures(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(thousands(0), "0")
	f(thousands(999), "999")
	f(thousands(12431), "12,431")
	f(thousands(1234567), "1,234,567")
	f(clock(0), "0:00.0")
	f(clock(83.46), "1:23.4")
	f(short(430*time.Microsecond), "0.4 ms")
	f(short(85*time.Millisecond), "85 ms")
	f(millis(1204*time.Millisecond), "1,204 ms")
	f(cut("äöüß", 3), "äö…")
	f(cut("abc", 3), "abc")
	f(pad("▶", 3), "▶  ")
}
