package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// confidant is an origin that puts the user's name into every response that is for one user, and never into one that is for all. What
// makes a response somebody's is drawn: a directive, a field, credentials.
type confidant struct {
	mu  sync.Mutex
	rnd *rand.Rand
}

// privately are the ways to say that a response is for one user; %s is the user. The body is "user" where it is as a whole.
var privately = []string{
	"Cache-Control: private, max-age=60", "Cache-Control: no-store", "Cache-Control: max-age=60 | Set-Cookie: id=%s",
	"CDN-Cache-Control: private, max-age=60 | Cache-Control: public, max-age=60", "Cache-Control: max-age=60 | Vary: *",
	"Cache-Control: max-age=60 | Vary: Cookie", `Cache-Control: no-store="x", max-age=60`, `Cache-Control: max-age=60, private="`,
	`Cache-Control: max-age=60, private="vary"`, "Last-Modified: Fri, 31 Dec 1999 00:00:00 GMT", `ETag: "%s"`, "Expires: 0",
	"Cache-Control: max-age=6O", "Cache-Control: max-age=60, max-age=0",
}

// partly are the ways to say so of a field.
var partly = []string{
	`Cache-Control: max-age=1, private="X-User" | X-User: %s`, `Cache-Control: max-age=1, no-cache="Set-Cookie" | Set-Cookie: id=%s`,
	`CDN-Cache-Control: max-age=1, private="x-user, set-cookie" | Set-Cookie: %s | X-User: %s`,
}

func (c *confidant) Fetch(ctx context.Context, h *httpwire.Head) (*httpwire.Response, error) {
	cookie, _ := h.Fields.Get(httpwire.Cookie)
	credentials, authorized := h.Fields.Get(httpwire.Authorization)
	user := strings.TrimPrefix(cookie, "user=") + strings.TrimPrefix(credentials, "user ")
	c.mu.Lock()
	delay, kind := time.Duration(c.rnd.IntN(20))*time.Millisecond, c.rnd.IntN(10)
	way, part := privately[c.rnd.IntN(len(privately))], partly[c.rnd.IntN(len(partly))]
	c.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	tag, conditional := h.Fields.Get(httpwire.IfNoneMatch)
	switch {
	case kind == 0:
		return nil, errOrigin
	case kind == 1:
		return message("503 down"), nil
	case kind == 2 && conditional:
		return message("304 | ETag: " + tag + " | " + strings.ReplaceAll(part, "%s", user)), nil
	case kind < 6 && (!authorized || !strings.Contains(way, "Vary: Cookie")): // Vary: Cookie says nothing about credentials
		return message("200 " + user + " | " + strings.ReplaceAll(way, "%s", user)), nil
	case authorized: // without a word that it may be shared
		return message("200 " + user + " | Cache-Control: max-age=60"), nil
	case kind < 8:
		return message(`200 everybody | ETag: "v" | ` + strings.ReplaceAll(part, "%s", user)), nil
	}
	return message(`200 everybody | Cache-Control: max-age=1, stale-while-revalidate=1 | ETag: "v"`), nil
}

// TestC18PrivateStaysPrivate: whatever is drawn, no user's name is in what another user gets.
func TestC18PrivateStaysPrivate(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		users := rapid.IntRange(2, 6).Draw(rt, "users")
		honour := rapid.Bool().Draw(rt, "honour")
		var failure atomic.Pointer[string]
		synctest.Test(t, func(t *testing.T) { gossip(t, seed, users, honour, &failure) })
		if f := failure.Load(); f != nil {
			rt.Fatal(*f)
		}
	})
}

func gossip(t *testing.T, seed uint64, users int, honour bool, failure *atomic.Pointer[string]) {
	s := cache.New(cache.Options{Memory: 1 << 20})
	defer s.Close()
	o := &confidant{rnd: rand.New(rand.NewPCG(seed, 0))}
	var wg sync.WaitGroup
	for u := range users {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(u+1)))
			me := fmt.Sprintf("<%d>", u)
			for range 25 {
				fields := []string{"Cookie: user=" + me}
				if r.IntN(3) == 0 {
					fields[0] = "Authorization: user " + me
				}
				if r.IntN(6) == 0 {
					fields = append(fields, "Cache-Control: no-cache")
				}
				req := with(request([]string{"GET", "GET", "GET", "HEAD"}[r.IntN(4)]+" https://example.org/"+fmt.Sprint(r.IntN(3)), fields...),
					func(p *config.CachePolicy) {
						p.StaleIfError, p.StaleIfSlow, p.HonourRequest = 2*time.Second, 5*time.Millisecond, honour
						p.Targeted, p.HeuristicPercent, p.HeuristicMax = []string{"cdn-cache-control"}, 10, time.Hour
					})
				resp, result, err := s.Serve(t.Context(), req, o)
				if err != nil {
					continue
				}
				body, _ := read(resp)
				seen := body
				for i := range resp.Fields {
					seen += " " + resp.Fields[i].Value
				}
				for other := range users {
					if name := fmt.Sprintf("<%d>", other); other != u && strings.Contains(seen, name) {
						m := fmt.Sprintf("%s gets %q (%s)", me, seen, result.AppendStatus(nil, "eu1"))
						failure.CompareAndSwap(nil, &m)
					}
				}
				time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
			}
		})
	}
	wg.Wait()
}
