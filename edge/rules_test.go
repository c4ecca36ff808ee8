package edge_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge"
)

// writePair writes a new certificate for www.example.org and its key.
func writePair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"www.example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// handshake connects with a server name and returns the serial number of the certificate.
func (n *node) handshake(serverName string) (int64, error) {
	conn, err := tls.Dial("tcp", n.Addr("https", 0).String(), &tls.Config{InsecureSkipVerify: true, ServerName: serverName}) //nolint:gosec // self-signed
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

// T09: a renewed certificate is put in service by a reload although the configuration file is the same; a bad pair is not.
func TestReloadTakesARenewedCertificate(t *testing.T) {
	eu, us := newOrigin(t, "eu", nil), newOrigin(t, "us", nil)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, certFile, keyFile, 1)
	n := start(t, strings.Replace(fill(fullNode, eu, us), "certificate: self-signed", "certificate: {cert: "+certFile+", key: "+keyFile+"}", 1))
	if err := n.Reload(); !errors.Is(err, edge.ErrUnchanged) {
		t.Errorf("nothing changed: %v", err)
	}
	writePair(t, certFile, keyFile, 2)
	if err := n.Reload(); err != nil {
		t.Errorf("the renewed certificate: %v", err)
	}
	if serial, err := n.handshake("www.example.org"); err != nil || serial != 2 {
		t.Errorf("certificate %d serves, %v", serial, err)
	}
	writePair(t, certFile, filepath.Join(dir, "other.pem"), 3) // does not fit the key
	if err := n.Reload(); err == nil || errors.Is(err, edge.ErrUnchanged) {
		t.Errorf("a certificate without its key: %v", err)
	}
	if serial, err := n.handshake("www.example.org"); err != nil || serial != 2 {
		t.Errorf("after the bad pair certificate %d serves, %v", serial, err)
	}
}

// T02: a name nobody serves is told so, in the words of RFC 6066 section 3.
func TestUnknownServerNameIsUnrecognized(t *testing.T) {
	n := start(t, fill(fullNode, newOrigin(t, "eu", nil), newOrigin(t, "us", nil)))
	if _, err := n.handshake("other.example.org"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("the handshake ended with %v", err)
	}
}

// Two reloads at once do not pass each other: the file as it was read last is what serves.
func TestReloadsDoNotOvertakeEachOther(t *testing.T) {
	yaml := fill(fullNode, newOrigin(t, "eu", nil), newOrigin(t, "us", nil))
	n := start(t, yaml)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	reload := func() chan error {
		done := make(chan error, 1)
		go func() { done <- n.Reload() }()
		return done
	}
	n.write(t, strings.Replace(yaml, "name: eu1", "name: '${file:"+fifo+"}'", 1))
	first := reload() // waits for the fifo
	var pipe *os.File
	waitFor(t, "the first reload reads", func() bool {
		var err error
		pipe, err = os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil
	})
	n.write(t, strings.Replace(yaml, "name: eu1", "name: newer", 1))
	second := reload()
	var secondErr error
	overtook := false
	select {
	case secondErr = <-second:
		overtook = true
	case <-time.After(100 * time.Millisecond): // it waits its turn
	}
	_, _ = io.WriteString(pipe, "older")
	pipe.Close()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if !overtook {
		secondErr = <-second
	}
	if secondErr != nil {
		t.Error(secondErr)
	}
	if got := n.Config().Edge.Name; got != "newer" {
		t.Errorf("%q serves, although the file says newer", got)
	}
}

// Kill does not wait for what a reload has retired, and nothing is opened after it.
func TestKillEndsEverything(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	slow := newOrigin(t, "slow", func(http.ResponseWriter, *http.Request) { close(entered); <-release })
	defer close(release)
	yaml := fill(fullNode, slow, newOrigin(t, "us", nil))
	n := start(t, yaml)
	client := plainClient(t)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _, _, _ = n.fetch(client, "/api/slow")
	}()
	<-entered
	n.write(t, strings.Replace(yaml, `http: ["127.0.0.1:0"]`, `http: []`, 1))
	if err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	n.Kill()
	stopped := make(chan struct{})
	go func() { n.stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Fatal("Run waits for a retired listener")
	}
	<-asked
	cfg, _, err := config.Parse(n.path, []byte(yaml), config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Apply(cfg); err == nil {
		t.Error("a dead node took a configuration")
	}
}

func TestStatusListsListenersInOrder(t *testing.T) {
	n := start(t, fill(fullNode, newOrigin(t, "eu", nil), newOrigin(t, "us", nil)))
	for range 20 {
		if s, ok := n.Status("status").(edge.Status); !ok || !slices.IsSorted(s.Listeners) {
			t.Fatalf("listeners are %q", s.Listeners)
		}
	}
}

// What is fixed at the start is not changed by a reload, and that is said.
func TestReloadSaysWhatItCannotChange(t *testing.T) {
	yaml := fill(fullNode, newOrigin(t, "eu", nil), newOrigin(t, "us", nil))
	n := start(t, yaml)
	n.write(t, yaml+"log: {level: debug}\n")
	if err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	if out := n.log.String(); !strings.Contains(out, "settings of the logs change at the next start") {
		t.Errorf("the log does not say so:\n%s", out)
	}
}

// An address of a v4-mapped client is the IPv4 address.
func TestExplainDNSTakesMappedAddresses(t *testing.T) {
	n := start(t, fill(fullNode, newOrigin(t, "eu", nil), newOrigin(t, "us", nil)))
	x, err := n.ExplainDNS("www.example.org", "A", netip.MustParseAddr("::ffff:192.0.2.7"))
	if err != nil || x.Client != "192.0.2.0/24" {
		t.Errorf("the client is %q, %v", x.Client, err)
	}
}

// The reason why a socket cannot be had points at who has it.
func TestWhoHasTheAddressIsSaid(t *testing.T) {
	yaml := fill(fullNode, newOrigin(t, "eu", nil), newOrigin(t, "us", nil))
	n := start(t, yaml)
	_, port, _ := net.SplitHostPort(n.Addr("metrics", 0).String())
	fixed := strings.Replace(yaml, `metrics: ["127.0.0.1:0"]`, `metrics: ["127.0.0.1:`+port+`"]`, 1)
	n.stop()
	n = start(t, fixed)
	n.write(t, strings.Replace(fixed, `metrics: ["127.0.0.1:`, `metrics: ["0.0.0.0:`, 1))
	if err := n.Reload(); err == nil || !strings.Contains(err.Error(), "this node itself") || strings.Contains(err.Error(), "another process") {
		t.Errorf("its own address: %v", err)
	}
	occupied := filepath.Join(filepath.Dir(n.path), "occupied")
	if err := os.WriteFile(occupied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.write(t, strings.Replace(fixed, "unix:./admin.sock", "unix:./occupied", 1))
	if err := n.Reload(); err == nil || strings.Contains(err.Error(), "another process") {
		t.Errorf("a file in the way of the admin socket: %v", err)
	}
}
