package edge_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/internal/need"
)

// TestR12SlicesOverThreeProtocols: ranges of a large file that nobody has asked for are fetched in slices of 1 MiB, once for all protocols; what curl
// puts together from them is the file.
func TestR12SlicesOverThreeProtocols(t *testing.T) {
	const mib = 1 << 20
	video := make([]byte, 12*mib+345)
	for i := range video {
		video[i] = byte(i>>16 ^ i*31)
	}
	var mu sync.Mutex
	var asked []string
	n := start(t, fill(cachingNode, newOrigin(t, "web", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, strings.TrimPrefix(r.Header.Get("Range"), "bytes="))
		mu.Unlock()
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("ETag", `"one"`)
		w.Header().Set("Content-Type", "video/x")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(video))
	})))
	for proto, rt := range threeClients(t, n) {
		for _, test := range []struct {
			value      string
			start, end int
		}{{"5-9", 5, 10}, {"3145728-3145728", 3 * mib, 3*mib + 1}, {"1048570-1048579", mib - 6, mib + 4}, {"-45", len(video) - 45, len(video)}} {
			response, body := ask(t, n, rt, "/video", with("Range: bytes="+test.value))
			if response.StatusCode != 206 || body != string(video[test.start:test.end]) || response.Header.Get("Accept-Ranges") != "bytes" {
				t.Errorf("%s %s: %d, %d bytes, %v", proto, test.value, response.StatusCode, len(body), response.Header)
			}
		}
		if response, _ := ask(t, n, rt, "/video", with("Range: bytes=99999999-")); response.StatusCode != 416 {
			t.Errorf("%s: %d beyond the end", proto, response.StatusCode)
		}
	}
	mu.Lock()
	if got := strings.Join(asked, " "); got != "0-1048575 3145728-4194303 1048576-2097151 12582912-13631487" {
		t.Errorf("the origin was asked for %s", got)
	}
	mu.Unlock()
	for name, path := range map[string]string{"slices there are": "/video", "a whole that is cut up": "/whole"} {
		for proto, rt := range threeClients(t, n) {
			response, body := ask(t, n, rt, path, nil)
			if response.StatusCode != 200 || response.ContentLength != int64(len(video)) || body != string(video) {
				t.Errorf("%s, %s: %d, %d bytes", name, proto, response.StatusCode, len(body))
			}
		}
	}
	need.Tool(t, "curl")
	for _, version := range []string{"--http1.1", "--http2"} {
		to := filepath.Join(t.TempDir(), "video")
		args := []string{"-q", "-sSk", "--max-time", "30", version, "--connect-to", "::" + n.Addr("https", 0).String(), "-o", to, "https://www.example.org/curl" + version}
		output(t, "curl", append([]string{"-r", "0-5000000"}, args...)...)
		output(t, "curl", append([]string{"-C", "-"}, args...)...) // goes on where the file ends
		got, err := os.ReadFile(to)
		if err != nil || !bytes.Equal(got, video) {
			t.Errorf("%s: %d bytes, %v", version, len(got), err)
		}
	}
}
