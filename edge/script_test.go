package edge_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/edge/admin"
	"github.com/meridian-edge/meridian/internal/script"
	"github.com/meridian-edge/meridian/proxy"
)

// TestScripts runs testdata/*.txt: a whole node on real sockets, with the clients operators use. Ports are those of the
// configuration as it is written; behind each is a free one, chosen for the script, so that two scripts never meet.
//
// The world:
//
//	origin PORT [STATUS] ['Field: value'...] [body]   a server that says "PORT /path" and max-age=60, or what it is told
//	open PORT...                                      servers like that, when only the open port matters
//	kill PORT... | back PORT...                       they die as killed processes do; they listen again
//	start [FILE]                                      runs the node with meridian.yaml of the script, or a file on disk
//	edit 'old' 'new' | write FILE                     changes the configuration file; the node is not told
//
// What operators do, through the admin socket:
//
//	reload | status | purge URL|KEY=VALUE... | explain URL|NAME [CLIENT] | force TARGET STATE [FOR]
//	prefetch URL ['Field: value'...]                what came of it, and how the cache answered
//
// What clients do. A + names a response field to print; a URL without a port goes to the node's first listener of its scheme:
//
//	curl [flags] URL [+Field...]       status line, fields, body
//	curl xN [flags] URL                the different answers to N requests
//	raw LINE...                        a request head as it stands; FILL, here and for curl, is 9000 bytes
//	h3 URL [+Field...]                 the same over HTTP/3
//	dig|kdig NAME TYPE [options]       code and flags, then the records of each section, sorted
//	dig xN NAME TYPE                   the different answers to N questions
//	load PATH ... end-load             eight clients fetch PATH0, PATH1, ... of www.example.org; then: how many failed
//
// What can be seen from outside, and waited for:
//
//	requests PORT | wait-requests PORT N        requests an origin has had, health checks aside; until it has had N more
//	metric SERIES | wait-metric SERIES VALUE
//	wait-health ENDPOINT|CHECK... up|down
//	logged TEXT                                 lines of the log that hold the text
//
// What differs from run to run is printed as a word: a lifetime is rounded up to a minute, a request id is ID.
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func(_ *testing.T, files map[string][]byte) script.Step {
		w := &world{files: files, ports: map[string]*port{}, origins: map[string]*scriptedOrigin{}}
		return w.step
	})
}

// world is what the steps of one script act on.
type world struct {
	files   map[string][]byte
	yaml    string // the configuration as it is written
	ports   map[string]*port
	origins map[string]*scriptedOrigin
	node    *node // nil before start
	endLoad func() (int64, []string)
}

func (w *world) step(t *testing.T, args []string) string {
	verb, args := args[0], args[1:]
	if f := w.verbs()[verb]; f != nil {
		return w.plain(f(t, args))
	}
	t.Fatalf("unknown step %q", verb)
	return ""
}

func (w *world) verbs() map[string]func(t *testing.T, args []string) string {
	return map[string]func(*testing.T, []string) string{
		"origin": w.origin, "open": w.open, "kill": w.kill, "back": w.back,
		"start": w.start, "edit": w.edit, "write": w.write,
		"reload": w.reload, "status": w.status, "purge": w.purge, "prefetch": w.prefetch, "explain": w.explain, "force": w.force, "accept": w.accept, "edits": w.edits,
		"curl": w.curl, "raw": w.raw, "h3": w.h3, "dig": w.dig, "kdig": w.kdig, "load": w.load, "end-load": w.stopLoad,
		"requests": w.requests, "wait-requests": w.waitRequests,
		"metric": w.metric, "wait-metric": w.waitMetric, "wait-health": w.waitHealth, "logged": w.logged,
	}
}

// The configuration and the node.

func (w *world) start(t *testing.T, args []string) string {
	if len(args) == 0 {
		args = []string{"meridian.yaml"}
	}
	yaml, ok := w.files[args[0]]
	if !ok {
		var err error
		if yaml, err = os.ReadFile(args[0]); err != nil {
			t.Fatal(err)
		}
	}
	w.yaml = string(yaml)
	w.node = start(t, w.real(t, w.yaml))
	return ""
}

func (w *world) edit(t *testing.T, args []string) string {
	if n := strings.Count(w.yaml, args[0]); n != 1 {
		t.Fatalf("%q is in the file %d times", args[0], n)
	}
	w.yaml = strings.Replace(w.yaml, args[0], args[1], 1)
	w.node.write(t, w.real(t, w.yaml))
	return ""
}

func (w *world) write(t *testing.T, args []string) string {
	w.yaml = string(w.files[args[0]])
	w.node.write(t, w.real(t, w.yaml))
	return ""
}

// What operators do.

// call asks the admin API; what the node refuses is returned as it says it.
func (w *world) call(t *testing.T, method, path string, query url.Values, out any) string {
	t.Helper()
	sockets := w.node.Config().Listeners.Admin
	if len(sockets) == 0 {
		t.Fatal("this configuration has no admin socket")
	}
	err := admin.NewClient(sockets[0]).Call(t.Context(), method, path, query, out)
	if err == nil {
		return ""
	}
	refused, ok := err.(*admin.RemoteError) //nolint:errorlint // Call returns it bare
	if !ok {
		t.Fatal(err)
	}
	if len(refused.Items) > 0 {
		return strings.Join(refused.Items, "")
	}
	return refused.Error() + "\n"
}

func (w *world) reload(t *testing.T, _ []string) string {
	var done struct{ Generation int }
	if refused := w.call(t, "POST", "/v1/reload", nil, &done); refused != "" {
		return refused
	}
	return fmt.Sprintf("generation %d serves\n", done.Generation)
}

func (w *world) status(t *testing.T, _ []string) string {
	var s edge.Status
	w.call(t, "GET", "/v1/status", nil, &s)
	out := fmt.Sprintf("%s, generation %d\n", s.State, s.Generation)
	slices.Sort(s.Unserved)
	for _, gap := range s.Unserved {
		out += "not served by this version: " + gap + "\n"
	}
	return out
}

// purgeValues are what to purge: URL, or KEY=VALUE as the admin API has them.
func purgeValues(args []string) url.Values {
	v := url.Values{}
	for _, arg := range args {
		if key, value, ok := strings.Cut(arg, "="); ok && !strings.Contains(key, "/") {
			v.Add(key, value)
		} else {
			v.Add("url", arg)
		}
	}
	return v
}

func (w *world) purge(t *testing.T, args []string) string {
	var receipt struct{ Objects int }
	if refused := w.call(t, "POST", "/v1/purge", purgeValues(args), &receipt); refused != "" {
		return refused
	}
	return fmt.Sprintf("objects %d\n", receipt.Objects)
}

func (w *world) prefetch(t *testing.T, args []string) string {
	var p proxy.Prefetched
	if refused := w.call(t, "POST", "/v1/prefetch", url.Values{"url": args[:1], "header": args[1:]}, &p); refused != "" {
		return refused
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%s %d %s %s %s", p.Result(), p.Status, p.Outcome, p.Reason, p.Coding)), " ") + "\n"
}

func (w *world) force(t *testing.T, args []string) string {
	query := url.Values{"target": {w.real(t, args[0])}, "state": {args[1]}}
	if len(args) > 2 {
		query.Set("for", args[2])
	}
	var o edge.Order
	if refused := w.call(t, "POST", "/v1/health/force", query, &o); refused != "" {
		refused, _, _ = strings.Cut(strings.TrimSpace(refused), " There are ") // sorted by the real ports
		return w.plain(refused) + "\n"
	}
	return w.plain(o.Target) + " " + o.State + "\n"
}

func (w *world) accept(t *testing.T, args []string) string {
	var done struct{ Check string }
	if refused := w.call(t, "POST", "/v1/health/accept", url.Values{"check": args}, &done); refused != "" {
		return refused
	}
	return done.Check + "\n"
}

// edits shows what the health page says about edited checks.
func (w *world) edits(t *testing.T, _ []string) string {
	var list []edge.Verdict
	w.call(t, "GET", "/v1/health", nil, &list)
	var out []string
	for _, v := range list {
		if v.Edit != "" {
			out = append(out, fmt.Sprintf("%s %s %s: %s, now %s (%s)\n", v.Edit, v.Pool, w.plain(v.Endpoint), v.State, v.Now, w.plain(v.Reason)))
		}
	}
	slices.Sort(out) // the page has them by the real ports
	return strings.Join(out, "")
}

func (w *world) explain(t *testing.T, args []string) string {
	query := url.Values{}
	if len(args) > 1 {
		query.Set("client", args[1])
	}
	if !strings.Contains(args[0], "/") {
		query.Set("name", args[0])
		var e dns.Explanation
		if refused := w.call(t, "GET", "/v1/explain", query, &e); refused != "" {
			return refused
		}
		return explainedName(&e)
	}
	query.Set("url", args[0])
	var e proxy.Explanation
	if refused := w.call(t, "GET", "/v1/explain", query, &e); refused != "" {
		return refused
	}
	return explainedURL(&e)
}

// What can be seen from outside.

func (w *world) metric(t *testing.T, args []string) string {
	return w.node.metric(t, w.real(t, args[0])) + "\n"
}

func (w *world) waitMetric(t *testing.T, args []string) string {
	waitFor(t, strings.Join(args, " "), func() bool { return w.metric(t, args) == args[1]+"\n" })
	return ""
}

// waitHealth waits until the verdicts about every subject are what the last argument says.
func (w *world) waitHealth(t *testing.T, args []string) string {
	subjects, state := args[:len(args)-1], args[len(args)-1]
	for _, subject := range subjects {
		about := func(v *edge.Verdict) bool {
			return w.plain(v.Endpoint) == "127.0.0.1:"+subject || slices.Contains(v.Checks, subject)
		}
		waitFor(t, subject+" is "+state, func() bool {
			var all []edge.Verdict
			w.call(t, "GET", "/v1/health", nil, &all)
			found := false
			for i := range all {
				if about(&all[i]) {
					if found = all[i].State == state; !found {
						return false
					}
				}
			}
			return found
		})
	}
	return ""
}

func (w *world) logged(_ *testing.T, args []string) string {
	n := 0
	for line := range strings.Lines(w.node.log.String()) {
		if strings.Contains(line, args[0]) {
			n++
		}
	}
	return strconv.Itoa(n) + "\n"
}

var (
	portNumber = regexp.MustCompile(`:(\d{4,5})\b`)
	requestID  = regexp.MustCompile(`Request \S+ on`)
	ttlNumber  = regexp.MustCompile(`ttl=(\d+)`)
	soaSerial  = regexp.MustCompile(`(\sSOA \S+ \S+) \d+ `)
)

// plain puts words and the numbers of the script in the place of what differs from run to run.
func (w *world) plain(s string) string {
	s = portNumber.ReplaceAllStringFunc(s, func(number string) string {
		for written, p := range w.ports {
			if number[1:] == p.number {
				return ":" + written
			}
		}
		return number
	})
	s = requestID.ReplaceAllString(s, "Request ID on")
	s = soaSerial.ReplaceAllString(s, "$1 SERIAL ")
	s = ttlNumber.ReplaceAllStringFunc(s, func(ttl string) string {
		n, _ := strconv.Atoi(ttl[len("ttl="):])
		return fmt.Sprintf("ttl=%d", (n+59)/60*60)
	})
	if w.node == nil {
		return s
	}
	s = strings.ReplaceAll(s, filepath.Dir(w.node.path)+"/", "")
	name := proxy.Token(w.node.Config().Edge.Name)
	if host, _ := os.Hostname(); proxy.Token(host) == name {
		s = regexp.MustCompile(`\b`+regexp.QuoteMeta(name)+`\b`).ReplaceAllString(s, "HOSTNAME")
	}
	return s
}
