package cache_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
	transcript "github.com/meridian-edge/meridian/internal/script"
)

// TestScripts runs testdata/*.txt on a clock of their own: what a script sleeps passes at once, and nothing else takes time.
//
//	origin STATUS ['Field: value'...] [body]   what the origin says from here on; `origin error`: nothing
//	delay DURATION                             how long it takes for that
//	policy NAME=VALUE...                       of the behavior, from here on: durations min, default, max, swr, sie, slow, error, wait; profile,
//	                                           honour, targeted, heuristic, waiters, query, cookies, headers, max-object, show-key
//	get|head|post PATH ['Field: value'...]     a request; prints status, outcome, Age and body, then Cache-Status
//	together N PATH ['Field: value'...]        N requests at once; prints when all were answered, and how many how
//	sleep DURATION                             time passes
//	wait                                       what goes on in the background goes as far as it can
//	purge PATH                                 prints how many objects that removed
//	origin-requests                            prints how often the origin was asked, in all
//	origin-saw                                 prints the conditions of the last request it saw
//
// NOW, NOW+1h and NOW-1h in a field stand for a date. The origin answers 304 when its ETag or Last-Modified is what the
// request has already.
func TestScripts(t *testing.T) {
	transcript.RunIn(t, "testdata/*.txt", synctest.Test, func(t *testing.T, _ map[string][]byte) transcript.Step {
		p := &performance{store: newStore(t, 1<<20)}
		p.origin = &originFunc{f: p.answer}
		return p.step
	})
}

// performance is what the steps of one script act on.
type performance struct {
	store  *cache.Store
	origin *originFunc
	change []string // what policy said

	mu    sync.Mutex // guards the fields below: background fills read them
	says  []string   // status, fields, body
	delay time.Duration
}

func (p *performance) step(t *testing.T, args []string) string {
	verb, args := args[0], args[1:]
	switch verb {
	case "origin":
		p.mu.Lock()
		defer p.mu.Unlock()
		p.says = args
	case "delay":
		p.mu.Lock()
		defer p.mu.Unlock()
		p.delay = duration(t, args[0])
	case "policy":
		p.change = args
	case "get", "head", "post":
		return p.ask(t, verb, args)
	case "together":
		return p.together(t, args)
	case "sleep":
		time.Sleep(duration(t, args[0]))
	case "wait":
		synctest.Wait()
	case "purge":
		req := get(args[0])
		receipt, err := p.store.Purge(req.Site, req.Canon, req.Policy, false)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("objects %d\n", receipt.Objects)
	case "origin-requests":
		synctest.Wait() // a fetch that has just begun beside a request counts
		return fmt.Sprintln(p.origin.n.Load())
	case "origin-saw":
		synctest.Wait()
		return p.saw()
	default:
		t.Fatalf("unknown step %q", verb)
	}
	return ""
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// answer is the origin's side of a fetch.
func (p *performance) answer(ctx context.Context, h *httpwire.Head, _ int) (*httpwire.Response, error) {
	p.mu.Lock()
	says, delay := p.says, p.delay
	p.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if says[0] == "error" {
		return nil, errOrigin
	}
	var lines []string
	body := ""
	for _, s := range says[1:] {
		if strings.Contains(s, ": ") {
			lines = append(lines, dated(s))
		} else {
			body = s
		}
	}
	r := message(says[0] + " " + body + " | " + strings.Join(append(lines, "Date: "+date(time.Now())), " | "))
	if r.Status == 200 && (same304(r, h, httpwire.ETag, httpwire.IfNoneMatch) || same304(r, h, httpwire.LastModified, httpwire.IfModifiedSince)) {
		r.Status, r.Body, r.Length = 304, nil, 0
	}
	if h.Method == "HEAD" {
		r.Body = nil
	}
	return r, nil
}

// same304 reports whether the client of the origin has what the origin would send.
func same304(r *httpwire.Response, h *httpwire.Head, validator, condition httpwire.ID) bool {
	has, ok := r.Fields.Get(validator)
	asked, conditional := h.Fields.Get(condition)
	return ok && conditional && has == asked
}

var now = regexp.MustCompile(`\bNOW([+-][0-9a-z]+)?`)

// dated puts dates in the place of NOW.
func dated(field string) string {
	return now.ReplaceAllStringFunc(field, func(word string) string {
		d, err := time.ParseDuration(strings.TrimPrefix(strings.TrimPrefix(word, "NOW"), "+"))
		if err != nil && word != "NOW" {
			panic(err)
		}
		return date(time.Now().Add(d))
	})
}

// ask makes a request and puts the answer into two lines.
func (p *performance) ask(t *testing.T, method string, args []string) string {
	t.Helper()
	lines := make([]string, len(args[1:]))
	for i, line := range args[1:] {
		lines[i] = dated(line)
	}
	req := request(strings.ToUpper(method)+" https://example.org"+args[0], lines...)
	for _, change := range p.change {
		adjust(t, req.Policy, change)
	}
	g := serve(t, p.store, req, p.origin)
	if g.err != nil {
		return fmt.Sprintf("error: %v\n", g.err)
	}
	out := strconv.Itoa(g.resp.Status) + " " + g.result.Outcome.String()
	if age := field(g, "Age"); age != "" {
		out += ", age " + age
	}
	if g.body != "" {
		out += ": " + g.body
	}
	for _, name := range []string{"Set-Cookie", "X-A"} {
		if value := field(g, name); value != "" {
			out += ", " + name + ": " + value
		}
	}
	if g.short != nil {
		out += fmt.Sprintf(" (cut short: %v)", g.short)
	}
	return out + "\n" + g.status() + "\n"
}

// adjust changes one thing of a policy.
func adjust(t *testing.T, policy *config.CachePolicy, change string) {
	t.Helper()
	name, value, _ := strings.Cut(change, "=")
	limits := map[string]*time.Duration{
		"min": &policy.MinTTL, "default": &policy.DefaultTTL, "max": &policy.MaxTTL, "error": &policy.ErrorTTL,
		"swr": &policy.StaleWhileRevalidate, "sie": &policy.StaleIfError, "slow": &policy.StaleIfSlow, "wait": &policy.WaitTimeout,
	}
	names := func() *config.KeyPart {
		part := config.KeyPart{All: value == "all"}
		if except, ok := strings.CutPrefix(value, "-"); ok {
			part.All, value = true, except
		}
		if value != "all" && value != "none" {
			part.Names = strings.Split(value, ",")
		}
		return &part
	}
	switch name {
	case "profile":
		policy.Profile = value
	case "honour":
		policy.HonourRequest = value == "on"
	case "show-key":
		policy.ShowKey = value == "on"
	case "targeted":
		policy.Targeted = []string{value}
	case "heuristic":
		policy.HeuristicPercent, policy.HeuristicMax = number(t, value), 24*time.Hour
	case "waiters":
		policy.MaxWaiters = number(t, value)
	case "max-object":
		policy.MaxObject = int64(number(t, value))
	case "query":
		policy.KeyQuery = *names()
	case "cookies":
		policy.KeyCookies = names()
	case "headers":
		policy.KeyHeaders = strings.Split(value, ",")
	default:
		if limits[name] == nil {
			t.Fatalf("unknown limit %q", name)
		}
		*limits[name] = duration(t, value)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// together makes requests at once and counts the answers that are alike.
func (p *performance) together(t *testing.T, args []string) string {
	t.Helper()
	n := number(t, args[0])
	answers := make([]string, n)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { answers[i] = p.ask(t, "get", args[1:]) })
	}
	wg.Wait()
	slices.Sort(answers)
	out := fmt.Sprintf("after %v\n", time.Since(began))
	for i := 0; i < n; {
		j := i
		for j < n && answers[j] == answers[i] {
			j++
		}
		out += fmt.Sprintf("%d times %s", j-i, answers[i])
		i = j
	}
	return out
}

// saw prints what the last request at the origin said about what is stored.
func (p *performance) saw() string {
	h := p.origin.last()
	out := h.Method + " " + h.Target
	for _, id := range []httpwire.ID{httpwire.IfNoneMatch, httpwire.IfModifiedSince, httpwire.Range, httpwire.CacheControl,
		httpwire.AcceptEncoding, httpwire.AcceptLanguage, httpwire.Cookie} {
		if value, ok := h.Fields.Joined(id); ok {
			out += fmt.Sprintf(", %s: %s", id, value)
		}
	}
	return out + "\n"
}
