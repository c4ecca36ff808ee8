package std_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/std"
)

// stored is a file that counts how often it is read in the ordinary way.
type stored struct {
	*os.File
	reads atomic.Int64
}

func (f *stored) Read(p []byte) (int, error) {
	f.reads.Add(1)
	return f.File.Read(p)
}

// WriteTo hides os.File's.
func (f *stored) WriteTo(io.Writer) (int64, error) { return 0, errors.New("not to be used") }

// fileBody is a body that a cache has in files and in memory: what comes before, a range of a file, what comes after.
type fileBody struct {
	before, after string
	file          io.Reader
	length        int64
	plain         bool // hide that the writer takes files
}

func (b *fileBody) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, b.before)
	total := int64(n)
	if err != nil {
		return total, err
	}
	limited := &io.LimitedReader{R: b.file, N: b.length}
	var sent int64
	if r, ok := w.(io.ReaderFrom); ok && !b.plain {
		sent, err = r.ReadFrom(limited)
	} else {
		sent, err = io.Copy(struct{ io.Writer }{w}, limited)
	}
	if total += sent; err != nil {
		return total, err
	}
	n, err = io.WriteString(w, b.after)
	return total + int64(n), err
}

func (*fileBody) Read([]byte) (int, error) { return 0, errors.New("not to be used") }
func (*fileBody) Close() error             { return nil }

// onDisk makes a file of so many bytes.
func onDisk(t testing.TB, n int) (*stored, []byte) {
	t.Helper()
	content := make([]byte, n)
	for i := range content {
		content[i] = byte(i*7 + i>>8 + i>>16)
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &stored{File: f}, content
}

// TestKernelSendsFiles: over plain HTTP/1.1 with a length nobody reads the file; everywhere else the same bytes arrive.
func TestKernelSendsFiles(t *testing.T) {
	type story struct {
		before, after string
		stated        bool
	}
	each(t, func(t *testing.T, proto httpwire.Proto) {
		f, content := onDisk(t, 3<<20)
		done := make(chan int64, 1)
		var now atomic.Pointer[story]
		front := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response {
			s := now.Load()
			f.Seek(1000, io.SeekStart)
			f.reads.Store(0)
			r := &httpwire.Response{Status: 200, Length: int64(len(s.before) + 2<<20 + len(s.after)),
				Body: &fileBody{before: s.before, file: f, length: 2 << 20, after: s.after}}
			if !s.stated {
				r.Length = -1
			}
			r.Done = func(n int64, err error) {
				if err != nil {
					t.Error(err)
				}
				done <- n
			}
			return r
		}, nil)
		c := front.client(t, proto)
		for _, s := range []story{{"", "", true}, {"a", "z", true}, {string(content[:5000]), "", true}, {"", "", false}} {
			now.Store(&s)
			_, got := c.must(t, "GET", "/", nil)
			want := s.before + string(content[1000:1000+2<<20]) + s.after
			if got != want {
				t.Errorf("%d bytes arrive, want %d", len(got), len(want))
			}
			if n := <-done; n != int64(len(want)) {
				t.Errorf("Done is told of %d bytes", n)
			}
			if sent := f.reads.Load() == 0; sent != (proto == httpwire.HTTP11 && s.stated) {
				t.Errorf("%v, stated %v: read %d times", proto, s.stated, f.reads.Load())
			}
		}
	})
}

// TestFilesKeepTheRulesOfWrites: of length, and of a file that is shorter than it was.
func TestFilesKeepTheRulesOfWrites(t *testing.T) {
	f, _ := onDisk(t, 1<<20)
	for name, c := range map[string]struct {
		length, file int64 // stated, given
		want         error
	}{
		"longer than stated":  {length: 700_000, file: 1 << 20},
		"shorter than stated": {length: 2 << 20, file: 2 << 20, want: httpwire.ErrTruncated},
	} {
		done := make(chan error, 1)
		front := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response {
			f.Seek(0, io.SeekStart)
			return &httpwire.Response{Status: 200, Body: &fileBody{file: f, length: c.file}, Length: c.length,
				Done: func(_ int64, err error) { done <- err }}
		}, nil)
		response, err := front.client(t, httpwire.HTTP11).do(t, "GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err == nil || n > c.length || n == 0 {
			t.Errorf("%s: %d bytes arrive, %v", name, n, err)
		}
		var failed *fault.Error
		if err := <-done; !errors.As(err, &failed) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: Done is told %v", name, err)
		}
	}
}

// TestAClientThatTakesNoFileIsCutOff is attack row R03.
func TestAClientThatTakesNoFileIsCutOff(t *testing.T) {
	f, _ := onDisk(t, 32<<20)
	done := make(chan error, 1)
	front := startWith(t, func(context.Context, *httpwire.Exchange) *httpwire.Response {
		return &httpwire.Response{Status: 200, Body: &fileBody{file: f, length: 32 << 20}, Length: 32 << 20,
			Done: func(_ int64, err error) { done <- err }}
	}, nil, func(s *std.Server) { std.SetTimes(s, 100*time.Millisecond, time.Minute) })
	c, err := net.Dial("tcp", front.plain.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	var failed *fault.Error
	if err := <-done; !errors.As(err, &failed) || failed.Code != fault.ClientGone {
		t.Error(err)
	}
}
