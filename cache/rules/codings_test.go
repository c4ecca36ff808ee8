package rules

import (
	"testing"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// TestWhatBrowsersSendIsReadAsAnythingElse: the values that are known by heart mean what the reading of them means.
func TestWhatBrowsersSendIsReadAsAnythingElse(t *testing.T) {
	for _, value := range []string{"gzip, deflate, br, zstd", "gzip, deflate, br", "gzip, br", "br, gzip", "gzip, deflate", "gzip", "identity", "br", "", "gzip;q=0"} {
		fields := httpwire.Fields{{ID: httpwire.AcceptEncoding, Name: "Accept-Encoding", Value: value}}
		got, present := Accepted(fields)
		if want, _ := accepted(fields); got != want || !present {
			t.Errorf("%q: %v, read as %v", value, got, want)
		}
		twice := append(fields, httpwire.Field{ID: httpwire.AcceptEncoding, Name: "Accept-Encoding", Value: "zstd"})
		if got, _ := Accepted(twice); got&Zstd == 0 {
			t.Errorf("%q and another line: %v", value, got)
		}
	}
	if _, present := Accepted(nil); present {
		t.Error("present in no field")
	}
}
