package probe_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/probe"
	"github.com/meridian-edge/meridian/internal/need"
)

// TestAgainstOpenSSL probes a TLS server that is not Go's.
func TestAgainstOpenSSL(t *testing.T) {
	openssl := need.Optional(t, "openssl")
	pair := certificate(t, -aDay, 20*aDay)
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pair.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(t.Context(), openssl, "s_server", "-accept", "127.0.0.1:0", "-cert", file, "-key", file, "-alpn", "h2,http/1.1", "-www")
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	address := ""
	for lines := bufio.NewScanner(out); address == "" && lines.Scan(); {
		address, _ = strings.CutPrefix(lines.Text(), "ACCEPT ")
		if !strings.HasPrefix(address, "127.") {
			address = ""
		}
	}
	if address == "" {
		t.Skip("this openssl does not say at which port it listens")
	}
	want(t, try(t, config.Check{Type: "tls", Host: "www.example.org", ALPN: []string{"h2"}, MinDays: 15}, address),
		probe.KindSuccess, `TLS 1.3 h2, (19|20) days to expiry,`+took)
	want(t, try(t, config.Check{Type: "tls", MinDays: 30}, address), probe.KindTLS, `tls: certificate expires in .* days, want at least 30`)
	want(t, try(t, config.Check{Type: "https", Search: "Ciphers"}, address), probe.KindSuccess, `200 with the text`+took)
}
