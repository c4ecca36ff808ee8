package discover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/meridian-edge/meridian/config"
)

// looker returns what a feed looks with. It is called by one goroutine at a time.
func (w *Watcher) looker(f *feed) func(context.Context) (found, error) {
	source := &f.manner.Discovery
	switch source.Kind {
	case "file":
		return (&fileSource{Discovery: source}).look
	case "url":
		return (&urlSource{Discovery: source, client: w.client}).look
	default:
		return (&dnsSource{Discovery: source, failover: f.manner.failover, resolver: &resolver{dial: w.dial, servers: w.servers}}).look
	}
}

// fileSource is a watched file.
type fileSource struct {
	*config.Discovery
	modified time.Time // of the version that was read last, good or bad
	size     int64
	failure  error // of that version
}

func (s *fileSource) look(context.Context) (found, error) {
	info, err := os.Stat(s.Path)
	if err != nil {
		s.modified = time.Time{} // it may come back as it was
		return found{}, err
	}
	if info.ModTime().Equal(s.modified) && info.Size() == s.size {
		return found{same: true, again: s.Interval}, s.failure
	}
	s.modified, s.size = info.ModTime(), info.Size()
	data, err := readFile(s.Path)
	if err != nil {
		s.modified = time.Time{}
		return found{}, err
	}
	list, err := parseList(data, s.Discovery)
	if err == nil && len(list) == 0 {
		err = errNone
	}
	s.failure = err
	return found{endpoints: list, again: s.Interval}, err
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path) // before the open, which would wait for the writer of a pipe
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f)
}

func readLimited(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1)) // one more, so that what is over the limit shows
	if err == nil && len(data) > maxDocument {
		err = fmt.Errorf("it is larger than %d bytes", maxDocument)
	}
	return data, err
}

// urlSource is a document that a server answers with.
type urlSource struct {
	*config.Discovery
	client *http.Client
	tag    string // entity tag of the good document that was read last; empty: none
}

func newClient(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dial, DisableCompression: true, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 5 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
		// A source must not be able to send us to other hosts, which may trust this one.
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if first := via[0].URL; next.URL.Host != first.Host || next.URL.Scheme != first.Scheme {
				return errors.New("it redirects to another host")
			}
			if len(via) > maxRedirects {
				return errors.New("it redirects too often")
			}
			return nil
		},
	}
}

func (s *urlSource) look(ctx context.Context) (found, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return found{}, errors.New("it is not a url")
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "meridian")
	if s.tag != "" {
		request.Header.Set("If-None-Match", s.tag)
	}
	response, err := s.client.Do(request)
	if err != nil {
		if u, is := errors.AsType[*url.Error](err); is {
			err = u.Err // the url may hold a password
		}
		return found{}, err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotModified && s.tag != "":
		return found{same: true, again: s.Interval}, nil
	case response.StatusCode != http.StatusOK:
		return found{}, fmt.Errorf("status %d", response.StatusCode)
	}
	data, err := readLimited(response.Body)
	if err != nil {
		return found{}, err
	}
	list, err := parseList(data, s.Discovery)
	if err != nil {
		return found{}, err
	}
	s.tag = ""
	if len(list) > 0 && len(list) <= maxEndpoints {
		s.tag = response.Header.Get("ETag")
	}
	return found{endpoints: list, again: s.Interval}, nil
}
