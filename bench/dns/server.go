package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	mdns "github.com/miekg/dns"
)

// errAbsent is wrapped when a server is not installed.
var errAbsent = errors.New("not installed")

// server is one of those compared.
type server struct {
	name    string
	program string
	options []string                                   // that print the version
	can     []string                                   // cases beyond the three that every server does
	write   func(p *server, d *dataset) error          // its configuration, in dir
	args    func(p *server) []string                   // to run in the foreground
	build   func(ctx context.Context, p *server) error // when program is not found; nil: it is absent

	cannot  string // one of the three, after all
	dir     string
	port    string
	version string
	log     bytes.Buffer
	cmd     *exec.Cmd
	ended   chan struct{}
	failed  error // of Wait, once ended is closed
}

func (p *server) does(name string) bool {
	switch name {
	case p.cannot:
		return false
	case saturated, "static", "nxdomain", "million":
		return true
	}
	for _, c := range p.can {
		if c == name {
			return true
		}
	}
	return false
}

func (p *server) start(ctx context.Context, s settings, data *dataset) error {
	if p.program == "" {
		return fmt.Errorf("%w: not wanted", errAbsent)
	}
	path, err := exec.LookPath(p.program)
	if err != nil && p.build != nil {
		err = p.build(ctx, p)
		path = p.program
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errAbsent, err)
	}
	if p.program, err = filepath.Abs(path); err != nil {
		return err
	}
	out, _ := exec.CommandContext(ctx, p.program, p.options...).CombinedOutput() // some exit with an error after it
	p.version, _, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "version") && !strings.Contains(p.version, "version") && p.name == "gdnsd" {
			p.version = line
		}
	}
	if p.port, err = freePort(); err != nil {
		return err
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	if err := p.write(p, data); err != nil {
		return err
	}
	args := append([]string{"-c", strconv.Itoa(s.serverOn), p.program}, p.args(p)...)
	if s.serverOn < 0 { // on all
		args[1] = "0-1023"
	}
	p.cmd = exec.Command("taskset", args...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = &p.log, &p.log, p.dir
	// Interrupting this program must not reach the servers before it does: it ends them itself.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.ended = make(chan struct{})
	go func() {
		p.failed = p.cmd.Wait()
		close(p.ended)
	}()
	return p.await(ctx, s, data)
}

// await waits until the server answers what every case asks.
func (p *server) await(ctx context.Context, s settings, data *dataset) error {
	ctx, cancel := context.WithTimeout(ctx, s.ready)
	defer cancel()
	client := mdns.Client{Timeout: time.Second}
	for _, c := range data.cases {
		if !p.does(c.name) {
			continue
		}
		for {
			m := new(mdns.Msg).SetQuestion(c.check, mdns.TypeA)
			reply, _, err := client.ExchangeContext(ctx, m, net.JoinHostPort("127.0.0.1", p.port))
			if err == nil && reply.Rcode == mdns.RcodeSuccess && len(reply.Answer) > 0 {
				break
			}
			select {
			case <-p.ended:
				return fmt.Errorf("ended: %w\n%s", p.failed, p.log.Bytes())
			case <-ctx.Done():
				p.stop()
				return fmt.Errorf("no answer for %s: %w\n%s", c.check, ctx.Err(), p.log.Bytes())
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

func (p *server) stop() {
	if p.ended == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // and its children
		<-p.ended
	}
}

// freePort is free for UDP and for TCP.
func freePort() (string, error) {
	for range 100 {
		tcp, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		udp, err := net.ListenPacket("udp4", tcp.Addr().String())
		tcp.Close()
		if err == nil {
			udp.Close()
			return strconv.Itoa(tcp.Addr().(*net.TCPAddr).Port), nil
		}
	}
	return "", errors.New("no free port")
}
