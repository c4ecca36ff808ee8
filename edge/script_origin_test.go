package edge_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// port is the number behind a number in a script. A socket that never listens holds it as long as the script runs: nobody
// else gets it, and while no origin listens a connection is refused.
type port struct{ number string }

// reserve finds a port that is free for TCP and UDP, below those that the system gives to sockets that do not care.
func reserve(t *testing.T) *port {
	t.Helper()
	for range 100 {
		number := 10000 + rand.IntN(20000)
		if p := hold(t, number); p != nil {
			return p
		}
	}
	t.Fatal("no free port")
	return nil
}

func hold(t *testing.T, number int) *port {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	taken := unix.Bind(fd, &unix.SockaddrInet4{Port: number, Addr: [4]byte{127, 0, 0, 1}}) != nil
	if !taken {
		var udp net.PacketConn
		if udp, err = net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", number)); err == nil {
			udp.Close()
		}
		taken = err != nil
	}
	if taken {
		unix.Close(fd)
		return nil
	}
	t.Cleanup(func() { unix.Close(fd) })
	// Set after the bind, it keeps other holders out and lets listeners in: theirs have the option too.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	return &port{strconv.Itoa(number)}
}

// behind returns the number behind a written one.
func (w *world) behind(t *testing.T, written string) string {
	t.Helper()
	if w.ports[written] == nil {
		w.ports[written] = reserve(t)
	}
	return w.ports[written].number
}

var (
	addressPort  = regexp.MustCompile(`127\.0\.0\.1:(\d{4,5})\b`)
	endpointPort = regexp.MustCompile(`ports: \{[^}]*\}`)
	mappedPort   = regexp.MustCompile(`: (\d{4,5})\b`)
)

// real puts the numbers behind the written ones into a configuration. The ports of accelerators stay: nothing binds them.
func (w *world) real(t *testing.T, yaml string) string {
	t.Helper()
	replace := func(written string) string {
		before, number, _ := strings.Cut(written, ":")
		n := strings.TrimLeft(number, " ")
		if v, err := strconv.Atoi(n); err != nil || v > 65535 {
			return written // a mistake the script is about
		}
		return before + ":" + number[:len(number)-len(n)] + w.behind(t, n)
	}
	yaml = addressPort.ReplaceAllStringFunc(yaml, replace)
	return endpointPort.ReplaceAllStringFunc(yaml, func(m string) string { return mappedPort.ReplaceAllStringFunc(m, replace) })
}

// scriptedOrigin is an origin that a script names by its port.
type scriptedOrigin struct {
	origin
	says  atomic.Pointer[answer]
	alive bool
}

// answer is what an origin says; the zero answer is its port, the path and max-age=60.
type answer struct {
	status int
	fields [][2]string
	body   string
}

func (w *world) origin(t *testing.T, args []string) string {
	o := w.origins[args[0]]
	if o == nil {
		o = &scriptedOrigin{}
		w.origins[args[0]] = o
	}
	a := &answer{status: 200}
	for _, arg := range args[1:] {
		if status, err := strconv.Atoi(arg); err == nil {
			a.status = status
		} else if name, value, ok := strings.Cut(arg, ": "); ok {
			a.fields = append(a.fields, [2]string{name, value})
		} else {
			a.body = arg
		}
	}
	if len(args) == 1 {
		a.fields = [][2]string{{"Cache-Control", "max-age=60"}}
	}
	o.says.Store(a)
	if !o.alive {
		w.listen(t, args[0])
	}
	return ""
}

// listen starts the server of an origin on its port.
func (w *world) listen(t *testing.T, written string) {
	t.Helper()
	o := w.origins[written]
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:"+w.behind(t, written))
	if err != nil {
		t.Fatal(err)
	}
	o.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { o.serve(rw, r, written) }))
	o.Listener.Close()
	o.Listener, o.alive = l, true
	o.Start()
	t.Cleanup(o.Server.Close)
}

func (o *scriptedOrigin) serve(rw http.ResponseWriter, r *http.Request, name string) {
	if r.URL.Path == "/healthz" {
		return
	}
	o.asked.Add(1)
	a := o.says.Load()
	for _, f := range a.fields {
		rw.Header().Add(f[0], f[1])
	}
	if tag := rw.Header().Get("ETag"); tag != "" && r.Header.Get("If-None-Match") == tag {
		rw.WriteHeader(http.StatusNotModified)
		return
	}
	rw.WriteHeader(a.status)
	body := a.body
	if body == "" {
		body = name + " " + r.URL.RequestURI()
	}
	_, _ = rw.Write([]byte(strings.ReplaceAll(body, "FORWARDED", forwarded(r))))
}

// forwarded is what a request tells an origin about its way.
func forwarded(r *http.Request) string {
	var lines []string
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Via", "CDN-Loop"} {
		lines = append(lines, name+": "+strings.Join(r.Header.Values(name), " | "))
	}
	return "Host: " + r.Host + "\n" + strings.Join(lines, "\n")
}

func (w *world) open(t *testing.T, args []string) string {
	for _, written := range args {
		w.origin(t, []string{written})
	}
	return ""
}

func (w *world) kill(t *testing.T, args []string) string {
	for _, written := range args {
		w.known(t, written).alive = false
		w.known(t, written).origin.kill()
	}
	return ""
}

func (w *world) back(t *testing.T, args []string) string {
	for _, written := range args {
		w.known(t, written)
		w.listen(t, written)
	}
	return ""
}

func (w *world) known(t *testing.T, written string) *scriptedOrigin {
	t.Helper()
	if w.origins[written] == nil {
		t.Fatalf("no origin %s", written)
	}
	return w.origins[written]
}

func (w *world) requests(t *testing.T, args []string) string {
	return strconv.FormatInt(w.known(t, args[0]).asked.Load(), 10) + "\n"
}

func (w *world) waitRequests(t *testing.T, args []string) string {
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	o := w.known(t, args[0])
	n += o.asked.Load()
	waitFor(t, strings.Join(args, " "), func() bool { return o.asked.Load() >= n })
	return ""
}

func (w *world) load(t *testing.T, args []string) string {
	w.endLoad = w.node.load(t, args[0])
	return ""
}

func (w *world) stopLoad(*testing.T, []string) string {
	count, failures := w.endLoad()
	if count == 0 {
		return "no request was made\n"
	}
	out := fmt.Sprintf("%d failed\n", len(failures))
	if len(failures) > 0 {
		out += failures[0] + "\n"
	}
	return out
}
