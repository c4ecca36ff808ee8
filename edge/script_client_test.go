package edge_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/meridian-edge/meridian/internal/need"
)

// reach returns where a URL leads: the number behind its port, or the node's first listener of its scheme.
func (w *world) reach(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		t.Fatalf("%q is no absolute URL", raw)
	}
	if u.Port() != "" {
		return "127.0.0.1:" + w.behind(t, u.Port())
	}
	return w.node.Addr(u.Scheme, 0).String()
}

// times takes a leading xN off the arguments.
func times(args []string) (int, []string) {
	if number, ok := strings.CutPrefix(args[0], "x"); ok {
		if n, err := strconv.Atoi(number); err == nil {
			return n, args[1:]
		}
	}
	return 0, args
}

// distinct returns the different lines of s, sorted.
func distinct(s string) string {
	lines := slices.Sorted(strings.Lines(s))
	return strings.Join(slices.Compact(lines), "")
}

// output runs a client. One that fails prints its exit status, which its manual explains.
func output(t *testing.T, tool string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), need.Tool(t, tool), args...).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Sprintf("%s: exit %d\n", tool, failed.ExitCode())
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(out), "\r", "")
}

func (w *world) curl(t *testing.T, args []string) string {
	n, args := times(args)
	var fields, rest []string
	target := ""
	for _, arg := range args {
		if field, ok := strings.CutPrefix(arg, "+"); ok {
			fields = append(fields, field)
			continue
		}
		if strings.Contains(arg, "://") {
			target = arg
		}
		rest = append(rest, strings.ReplaceAll(arg, "FILL", filling))
	}
	rest = append([]string{"-q", "-sk", "--max-time", "20", "--connect-to", "::" + w.reach(t, target)}, rest...)
	if n > 0 {
		for range n - 1 {
			rest = append(rest, target)
		}
		return distinct(output(t, "curl", append(rest, "-w", ` %{http_code}\n`)...))
	}
	return printed(output(t, "curl", append(rest, "-i")...), fields)
}

// filling is longer than a target may be; four of them are longer than a head may be.
var filling = strings.Repeat("x", 9000)

// raw sends what no client would.
func (w *world) raw(t *testing.T, args []string) string {
	conn, err := net.Dial("tcp", w.node.Addr("http", 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	head := strings.ReplaceAll(strings.Join(args, "\r\n"), "FILL", filling)
	if _, err := io.WriteString(conn, head+"\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	message, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return printed(strings.ReplaceAll(string(message), "\r", ""), nil)
}

// printed keeps of a response the status line, the wanted fields in the order they are wanted, and the body.
func printed(message string, fields []string) string {
	head, body, found := strings.Cut(message, "\n\n")
	if !found {
		return message
	}
	status, lines, _ := strings.Cut(head, "\n")
	out := strings.TrimSpace(status) + "\n"
	for _, field := range fields {
		for line := range strings.Lines(lines + "\n") {
			if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, field) {
				out += field + ":" + value
			}
		}
	}
	for line := range strings.Lines(body) {
		if line = strings.TrimRight(line, "\n"); line != "" {
			out += line + "\n"
		}
	}
	return out
}

// h3 fetches over HTTP/3, which Debian's curl cannot.
func (w *world) h3(t *testing.T, args []string) string {
	addr := w.reach(t, args[0])
	transport := &http3.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // self-signed on purpose
		Dial: func(ctx context.Context, _ string, tlsConfig *tls.Config, config *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, addr, tlsConfig, config)
		},
	}
	defer transport.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, args[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var message strings.Builder
	fmt.Fprintf(&message, "HTTP/%d %d\n", response.ProtoMajor, response.StatusCode)
	for name, values := range response.Header {
		for _, value := range values {
			fmt.Fprintf(&message, "%s: %s\n", name, value)
		}
	}
	var fields []string
	for _, arg := range args[1:] {
		fields = append(fields, strings.TrimPrefix(arg, "+"))
	}
	return printed(message.String()+"\n"+string(body), fields)
}

// DNS.

func (w *world) dig(t *testing.T, args []string) string {
	return w.query(t, "dig", args, "-r", "+tries=1", "+time=10", "+norecurse", "+nosplit")
}

func (w *world) kdig(t *testing.T, args []string) string {
	return w.query(t, "kdig", args, "+retry=0", "+timeout=10", "+norecurse")
}

func (w *world) query(t *testing.T, tool string, args []string, options ...string) string {
	t.Helper()
	addr := w.node.Addr("dns", 0)
	all := append([]string{"@" + addr.Addr().String(), "-p", strconv.Itoa(int(addr.Port()))}, options...)
	n, args := times(args)
	if n == 0 {
		return reply(output(t, tool, append(all, args...)...))
	}
	all = append(all, "+short")
	for range n {
		all = append(all, args...)
	}
	return distinct(output(t, tool, all...))
}

var (
	replyStatus = regexp.MustCompile(`status: (\w+)`)
	replyFlags  = regexp.MustCompile(`(?i)flags: qr([a-z ]*);`)
	replySubnet = regexp.MustCompile(`CLIENT-SUBNET: (\S+)/(\d+)\n`)
	section     = regexp.MustCompile(`^;; ([A-Z]+) SECTION:`)
)

// reply keeps of what dig or kdig print what matters. Anything else, such as +short, is only sorted.
func reply(message string) string {
	status := replyStatus.FindStringSubmatch(message)
	if status == nil {
		return records("", "", slices.Collect(strings.Lines(message)))
	}
	out := status[1]
	if flags := replyFlags.FindStringSubmatch(message); flags != nil {
		out += flags[1]
	}
	sections := map[string][]string{}
	in := ""
	for line := range strings.Lines(message) {
		if start := section.FindStringSubmatch(line); start != nil {
			in = start[1]
		} else if line[0] != ';' && line != "\n" {
			sections[in] = append(sections[in], strings.Join(strings.Fields(line), " "))
		}
	}
	text := records(out, "", sections["ANSWER"]) + records("", "authority ", sections["AUTHORITY"]) +
		records("", "additional ", sections["ADDITIONAL"])
	if subnet := replySubnet.FindStringSubmatch(message); subnet != nil {
		scope := "good for everybody"
		if subnet[2] != "0" {
			scope = "good for " + subnet[1] + " and its like" // how many bits that takes is up to the database
		}
		text += scope + "\n"
	}
	return text
}

// records prints a heading, if there is one, and records, sorted.
func records(heading, prefix string, lines []string) string {
	out := ""
	if heading != "" {
		out = heading + "\n"
	}
	for _, line := range slices.Sorted(slices.Values(lines)) {
		out += prefix + strings.TrimSuffix(strings.ReplaceAll(line, "\t", " "), "\n") + "\n"
	}
	return out
}
