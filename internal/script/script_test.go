package script

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSplit(t *testing.T) {
	f := func(line string, want ...string) {
		t.Helper()
		got, err := split(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v", line, got, err)
		}
	}
	f("get /a  200\n", "get", "/a", "200")
	f("origin 200 'Cache-Control: max-age=60'", "origin", "200", "Cache-Control: max-age=60")
	f("say ''", "say", "")
	f("\n")
	if _, err := split("say 'open"); err == nil {
		t.Error("an open quote is accepted")
	}
}

// echo prints its arguments, a line each.
func echo(_ *testing.T, args []string) string { return strings.Join(args[1:], "\n") }

func TestPlayReplacesWhatIsExpected(t *testing.T) {
	got := play(t, "x.txt", "# it's a title\n\nsay a b\n  old\n  older\nsay\nsay 'c d'\n", echo)
	if want := "# it's a title\n\nsay a b\n  a\n  b\nsay\nsay 'c d'\n  c d\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDifferenceNamesTheStep(t *testing.T) {
	got := difference("x.txt", "say a\n  b\n", "say a\n  a\n")
	if !strings.HasPrefix(got, "x.txt:2: after \"say a\"\n got:   a\nwant:   b\n") {
		t.Errorf("got %q", got)
	}
}

func TestRun(t *testing.T) {
	Run(t, "testdata/*.txt", func(_ *testing.T, files map[string][]byte) Step {
		return func(t *testing.T, args []string) string {
			if args[0] == "cat" {
				return string(files[args[1]])
			}
			return echo(t, args)
		}
	})
}

// What a script waits for passes at once on the clock of the bubble it runs in.
func TestRunInABubble(t *testing.T) {
	RunIn(t, "testdata/*.txt", synctest.Test, func(_ *testing.T, files map[string][]byte) Step {
		began := time.Now()
		return func(t *testing.T, args []string) string {
			time.Sleep(time.Hour)
			if time.Since(began)%time.Hour != 0 {
				t.Error("the clock is not the bubble's")
			}
			if args[0] == "cat" {
				return string(files[args[1]])
			}
			return echo(t, args)
		}
	})
}
