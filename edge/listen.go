package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge/admin"
	"github.com/meridian-edge/meridian/edge/cert"
	"github.com/meridian-edge/meridian/internal/netio"
	"github.com/meridian-edge/meridian/proxy/std"
)

// kind is what a listener speaks.
type kind string

const (
	kindHTTP    kind = "http"
	kindHTTPS   kind = "https"
	kindDNS     kind = "dns"
	kindDoT     kind = "dot"
	kindDoH     kind = "doh"
	kindDoQ     kind = "doq"
	kindMetrics kind = "metrics"
	kindAdmin   kind = "admin"
)

// drainOrder is the order in which listeners are shut down: DNS first, so that resolvers turn to other edges while requests
// under way are finished. Metrics and admin stay to the end: a drain can be watched.
var drainOrder = [][]kind{{kindDNS, kindDoT, kindDoH, kindDoQ}, {kindHTTP, kindHTTPS}}

// ErrListen is wrapped by the error of a socket that cannot be had.
var ErrListen = errors.New("cannot listen")

// listener is one configured address with its open sockets and, once served, what serves them.
type listener struct {
	kind kind
	key  string // kind and address: equal keys are the same listener in two generations
	addr string
	tcp  net.Listener   // nil for none
	udp  []*net.UDPConn // https: one, for QUIC; dns: one for each core

	front  *std.Server  // http, https
	server *http.Server // metrics, admin
	cancel func()       // dns: ends serving
	wg     sync.WaitGroup
}

// wantedListeners are the listeners of a configuration by key.
func wantedListeners(cfg *config.Config) map[string]*listener {
	wanted := map[string]*listener{}
	add := func(k kind, addr string) {
		key := string(k) + " " + addr
		wanted[key] = &listener{kind: k, key: key, addr: addr}
	}
	all := func(k kind, addrs []netip.AddrPort) {
		for _, a := range addrs {
			add(k, a.String())
		}
	}
	all(kindHTTP, cfg.Listeners.HTTP)
	all(kindHTTPS, cfg.Listeners.HTTPS)
	all(kindDNS, cfg.Listeners.DNS)
	all(kindDoT, cfg.Listeners.DoT)
	all(kindDoH, cfg.Listeners.DoH)
	all(kindDoQ, cfg.Listeners.DoQ)
	all(kindMetrics, cfg.Listeners.Metrics)
	for _, path := range cfg.Listeners.Admin {
		add(kindAdmin, path)
	}
	return wanted
}

// prepare opens the sockets that are not open yet: all of them or none. The caller holds mu.
func (n *Node) prepare(cfg *config.Config) ([]*listener, error) {
	var opened []*listener
	var errs []error
	for key, l := range wantedListeners(cfg) {
		if n.listeners[key] != nil {
			continue
		}
		if err := l.open(); err != nil {
			if errors.Is(err, syscall.EADDRINUSE) && n.holds(l.addr) {
				err = fmt.Errorf("%w; this node itself has it for another listener: that change needs a restart", syscall.EADDRINUSE)
			}
			errs = append(errs, fmt.Errorf("%w: %s %s: %w", ErrListen, l.kind, l.addr, err))
			continue
		}
		n.equip(l, cfg)
		opened = append(opened, l)
	}
	if len(errs) > 0 {
		for _, l := range opened {
			l.closeSockets()
		}
		return nil, errors.Join(errs...)
	}
	return opened, nil
}

// holds reports whether a listener there is has the port of addr on the same address, or one of both has it on every address.
// The caller holds mu.
func (n *Node) holds(addr string) bool {
	want, err := netip.ParseAddrPort(addr)
	if err != nil {
		return false
	}
	for _, l := range n.listeners {
		have, err := netip.ParseAddrPort(l.addr)
		if err == nil && have.Port() == want.Port() &&
			(have.Addr() == want.Addr() || have.Addr().IsUnspecified() || want.Addr().IsUnspecified()) {
			return true
		}
	}
	return false
}

func (l *listener) open() error {
	if l.kind == kindAdmin {
		return l.openUnix()
	}
	if l.kind == kindDoQ {
		addr, err := netip.ParseAddrPort(l.addr)
		if err != nil {
			return err
		}
		return l.openUDP(addr, 1)
	}
	var err error
	if l.tcp, err = net.Listen("tcp", l.addr); err != nil {
		return unwrapSyscall(err)
	}
	// UDP shares the port TCP got, which is another than the configured one only when that was 0.
	addr := l.tcp.Addr().(*net.TCPAddr).AddrPort() //nolint:forcetypeassert // "tcp" makes no other type
	switch l.kind {
	case kindHTTPS, kindDoH:
		err = l.openUDP(addr, 1)
	case kindDNS:
		err = l.openUDP(addr, min(runtime.GOMAXPROCS(0), runtime.NumCPU())) // there may be more processors than cores
	}
	if err != nil {
		l.closeSockets()
	}
	return err
}

func (l *listener) openUDP(addr netip.AddrPort, sockets int) error {
	var err error
	if l.udp, err = netio.ListenUDP(context.Background(), addr, sockets); err != nil {
		return fmt.Errorf("udp: %w", unwrapSyscall(err))
	}
	return nil
}

// openUnix opens the admin socket, for its owner alone. A socket file that nobody listens on is left over from a crash.
func (l *listener) openUnix() error {
	if conn, err := net.DialTimeout("unix", l.addr, time.Second); err == nil {
		conn.Close()
		return errors.New("another node answers on this socket; stop it, or name another path in listeners.admin")
	}
	if err := os.MkdirAll(filepath.Dir(l.addr), 0o700); err != nil {
		return err
	}
	if info, err := os.Lstat(l.addr); err == nil && info.Mode().Type() == os.ModeSocket {
		if err := os.Remove(l.addr); err != nil {
			return err
		}
	}
	// The mask makes the file private from its first moment on: there is no time between bind and chmod.
	old := unix.Umask(0o177)
	defer unix.Umask(old)
	var err error
	if l.tcp, err = net.Listen("unix", l.addr); errors.Is(err, syscall.EADDRINUSE) {
		return errors.New("there is a file with this name that is no socket")
	}
	return err
}

// unwrapSyscall turns "listen tcp 127.0.0.1:80: bind: permission denied" into its last words: the caller names the rest.
func unwrapSyscall(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case syscall.EADDRINUSE:
			return fmt.Errorf("%w; another process has it (`ss -lntup` shows which)", errno)
		case syscall.EACCES:
			return fmt.Errorf("%w; ports below 1024 need CAP_NET_BIND_SERVICE", errno)
		case syscall.EADDRNOTAVAIL:
			return fmt.Errorf("%w; no interface of this host has that address", errno)
		}
	}
	return err
}

// equip makes what will serve the listener.
func (n *Node) equip(l *listener, cfg *config.Config) {
	switch l.kind {
	case kindHTTP:
		l.front = std.New(n.frontOptions(cfg))
	case kindHTTPS:
		o := n.frontOptions(cfg)
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: n.certificate}
		if addr, ok := l.tcp.Addr().(*net.TCPAddr); ok {
			value := fmt.Sprintf(`h3=":%d"; ma=86400`, addr.Port)
			o.AltSvc = func() string { return value }
		}
		l.front = std.New(o)
	case kindMetrics:
		l.server = n.metricsServer()
	case kindAdmin:
		l.server = admin.NewServer(n)
	}
}

func (n *Node) frontOptions(cfg *config.Config) std.Options {
	return std.Options{
		Handler: n, Refuse: n.Refuse, Limits: cfg.Limits, Log: n.log, Metrics: n.organs.fronts,
	}
}

func (n *Node) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c, err := n.snapshot.Load().certs.Get(hello)
	if errors.Is(err, cert.ErrName) {
		return nil, nil // crypto/tls says unrecognized_name to that, and internal_error to any error (attack row T02)
	}
	return c, err
}

// serve starts serving an open listener. The caller holds mu.
func (n *Node) serve(l *listener) {
	loop := func(name string, serve func() error) {
		l.wg.Go(func() {
			if err := serve(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
				n.log.Error("listener ended", "kind", l.kind, "address", l.addr, "proto", name, "error", err)
			}
		})
	}
	switch l.kind {
	case kindHTTP:
		loop("tcp", func() error { return l.front.ServeHTTP1(l.tcp) })
	case kindHTTPS:
		loop("tcp", func() error { return l.front.ServeTLS(l.tcp) })
		loop("udp", func() error { return l.front.ServeQUIC(l.udp[0]) })
	case kindDNS:
		ctx, cancel := context.WithCancel(context.Background())
		l.cancel = cancel
		loop("tcp", func() error { return n.organs.dns.ServeTCP(ctx, l.tcp) })
		for _, conn := range l.udp {
			loop("udp", func() error { return n.organs.dns.ServeUDP(ctx, conn) })
		}
	case kindDoT, kindDoH, kindDoQ:
		ctx, cancel := context.WithCancel(context.Background())
		l.cancel = cancel
		n.serveSecureDNS(ctx, l, loop)
	default:
		loop("http", func() error { return l.server.Serve(l.tcp) })
	}
	n.log.Info("listening", "kind", l.kind, "address", l.bound())
}

// shutdown finishes what the listener has under way, until ctx ends.
func (l *listener) shutdown(ctx context.Context) {
	switch {
	case l.front != nil:
		_ = l.front.Shutdown(ctx) // what is left at the end of ctx is closed
	case l.cancel != nil:
		l.cancel()
	}
	l.close()
}

// close ends the listener at once and waits for its loops.
func (l *listener) close() {
	if l.cancel != nil {
		l.cancel()
	}
	if l.front != nil {
		_ = l.front.Close()
	}
	if l.server != nil {
		_ = l.server.Close()
	}
	l.closeSockets()
	l.wg.Wait()
}

// bound is the address the listener has got, which is another than the configured one when its port was 0.
func (l *listener) bound() string {
	if l.tcp != nil {
		return l.tcp.Addr().String()
	}
	return l.udp[0].LocalAddr().String()
}

func (l *listener) closeSockets() {
	if l.tcp != nil {
		_ = l.tcp.Close()
	}
	for _, conn := range l.udp {
		_ = conn.Close()
	}
}

// retire shuts down a listener that the configuration no longer names, beside the reload that found out.
func (n *Node) retire(l *listener) {
	n.log.Info("no longer listening", "kind", l.kind, "address", l.addr)
	n.retiring.Go(func() {
		ctx, cancel := n.grace()
		defer cancel()
		l.shutdown(ctx)
	})
}

// closeListeners ends every listener there is.
func (n *Node) closeListeners() {
	for _, l := range n.open() {
		l.close()
	}
	n.retiring.Wait()
}

// Addr is where a listener of this kind listens: the n-th of its kind in the configuration. It is for callers that asked for
// port 0; an unknown listener gives the zero AddrPort.
func (n *Node) Addr(k string, i int) netip.AddrPort {
	cfg := n.Config()
	addrs := map[string][]netip.AddrPort{
		"http": cfg.Listeners.HTTP, "https": cfg.Listeners.HTTPS, "dns": cfg.Listeners.DNS, "metrics": cfg.Listeners.Metrics,
		"dot": cfg.Listeners.DoT, "doh": cfg.Listeners.DoH, "doq": cfg.Listeners.DoQ,
	}[k]
	if i >= len(addrs) {
		return netip.AddrPort{}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[k+" "+addrs[i].String()]
	if l == nil {
		return netip.AddrPort{}
	}
	addr, _ := netip.ParseAddrPort(l.bound())
	return addr
}
