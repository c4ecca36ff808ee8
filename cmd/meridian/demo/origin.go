package demo

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// originField names the origin that made a response; a response from a cache keeps it.
const originField = "Demo-Origin"

// origin is a web server that is as far from each edge as the map says. It can be killed and started again.
type origin struct {
	name   string
	addr   netip.AddrPort
	delays map[string]time.Duration // by the name of the edge that asks
	assets map[string]*asset

	mu     sync.Mutex // guards the field below
	server *http.Server
	wg     sync.WaitGroup // the accept loop and every connection
}

func newOrigin(name string, addr netip.AddrPort, delays map[string]time.Duration, assets []asset) *origin {
	o := &origin{name: name, addr: addr, delays: delays, assets: map[string]*asset{}}
	for i := range assets {
		o.assets[assets[i].Path] = &assets[i]
	}
	return o
}

// start listens and serves until kill. It does nothing while the origin serves.
func (o *origin) start() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.server != nil {
		return nil
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(o.addr))
	if err != nil {
		return fmt.Errorf("origin %s: %w", o.name, err)
	}
	o.addr = l.Addr().(*net.TCPAddr).AddrPort()
	server := &http.Server{
		Handler: o, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		ConnState: o.count,
	}
	o.server = server
	o.wg.Go(func() { _ = server.Serve(l) }) // always ErrServerClosed: kill is the only way out
	return nil
}

// count follows connections: a new one is announced by the accept loop, a closed one by its own goroutine when it ends.
func (o *origin) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		o.wg.Add(1)
	case http.StateClosed, http.StateHijacked:
		o.wg.Done()
	}
}

// kill closes the listener and every connection at once, as the kernel does for a process that got SIGKILL, and waits until
// nothing of the server runs any more.
func (o *origin) kill() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.server == nil {
		return
	}
	_ = o.server.Close() // closing is all that is wanted
	o.wg.Wait()
	o.server = nil
}

// ServeHTTP answers after the time that the way from the edge and back takes.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		_, _ = w.Write([]byte("ok\n"))
		return
	}
	if !o.travel(r) {
		panic(http.ErrAbortHandler) // nobody may take an empty answer for one of ours
	}
	w.Header().Set(originField, o.name)
	if r.URL.Path == apiPath {
		o.serveTime(w, r)
		return
	}
	a := o.assets[r.URL.Path]
	if a == nil {
		w.Header().Set("Cache-Control", "max-age=5")
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.Type)
	h.Set("Cache-Control", a.CacheControl)
	h.Set("ETag", a.ETag)
	h.Set("Repr-Digest", a.Digest)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(a.Body)) // answers conditions and ranges too
}

// travel waits. It returns false when the edge has gone meanwhile.
func (o *origin) travel(r *http.Request) bool {
	delay := o.delays[lastVia(r.Header.Values("Via"))]
	if delay == 0 {
		return true // not from an edge: a reader with curl
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// lastVia returns the name of the proxy nearest to us in Via fields (RFC 9110 section 7.6.3).
func lastVia(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	last := fields[len(fields)-1]
	last = last[strings.LastIndexByte(last, ',')+1:]
	parts := strings.Fields(last)
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

func (o *origin) serveTime(w http.ResponseWriter, r *http.Request) {
	body, err := json.Marshal(map[string]string{
		"origin": o.name, "via": strings.Join(r.Header.Values("Via"), ", "), "time": time.Now().UTC().Format(time.RFC3339Nano),
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Repr-Digest", digest(string(body)))
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body)
}
