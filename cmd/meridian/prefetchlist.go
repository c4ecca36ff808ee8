package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// listed is one URL to fetch, or one line of a list that is none.
type listed struct {
	line int // in the list, from 1; 0: of the command line
	url  string
	bad  error // why it is none
}

// maxLine is how long a line of a list may be, in bytes: more than limits.target_bytes can be used for.
const maxLine = 64 << 10

// readList yields the URLs of a list, one a line. Empty lines and comments are passed over; a line that is no URL is yielded as what it is.
func readList(r io.Reader) iter.Seq[listed] {
	return func(yield func(listed) bool) {
		in := bufio.NewReaderSize(r, maxLine)
		for number := 1; ; number++ {
			text, long, err := readLine(in)
			if number == 1 {
				text = strings.TrimPrefix(text, "\ufeff") // as some editors begin a file
			}
			item := listed{line: number, url: stripComment(text)}
			switch {
			case long && item.url == strings.TrimSpace(text): // else it is a comment that is long
				item.bad = fmt.Errorf("%q... is longer than %d bytes", item.url[:min(len(item.url), 80)], maxLine)
			case item.url != "":
				item.bad = checkURL(item.url)
			}
			if item.url != "" && !yield(item) {
				return
			}
			if err == nil {
				continue
			}
			if err != io.EOF {
				yield(listed{line: number, bad: fmt.Errorf("the list ends here: %w", err)})
			}
			return
		}
	}
}

// readLine reads up to the end of a line, which is left out. Of one that is long only the beginning is returned.
func readLine(in *bufio.Reader) (text string, long bool, err error) {
	line, err := in.ReadSlice('\n')
	text = string(bytes.TrimRight(line, "\r\n"))
	for err == bufio.ErrBufferFull {
		long = true
		_, err = in.ReadSlice('\n')
	}
	return text, long, err
}

// stripComment takes space off a line, and what follows a # at its start or after space: within a URL it begins a fragment.
func stripComment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			line = line[:i]
			break
		}
	}
	return strings.TrimSpace(line)
}

// checkURL refuses what is no absolute URL. Whether a distribution serves it is the node's to say. A scheme is not guessed: http and
// https are different objects.
func checkURL(text string) error {
	scheme, rest, found := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fmt.Errorf("%q has a space or a control character in it", text)
	case !found || scheme != "http" && scheme != "https":
		return fmt.Errorf("%q is no URL such as https://www.example.org/a", text)
	case rest == "" || strings.ContainsAny(rest[:1], "/?#"):
		return errors.New(text + " has no host")
	}
	return nil
}
