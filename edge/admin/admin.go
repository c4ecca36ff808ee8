// Package admin serves the admin API of a node over a unix socket: what it is doing, what it would do, and the few verbs an
// operator has.
//
//	GET  /v1/status                              the node on one page
//	GET  /v1/health                              every verdict with its reason
//	GET  /v1/explain?url=URL&client=IP           the decision for a request (method=GET)
//	GET  /v1/explain?name=NAME&type=A&client=IP  the decision for a DNS question
//	POST /v1/reload                              read the configuration file again; with zone=NAME only the file of that zone
//	POST /v1/purge?url=URL                       remove one URL from the cache
//	POST /v1/prefetch?url=URL                    fetch one URL into the cache; header=NAME:VALUE, any number of times. The answer comes when it is
//	                                             stored, or known not to be, however long that takes
//	POST /v1/health/force?target=T&state=S&for=D an operator's word: S is up, down, drain or clear, D such as 10m
//	POST /v1/health/accept?check=NAME            put an edited check in force that was refused, or is still tried
//
// Answers are JSON. The socket is for its owner alone (mode 0600), so whoever can open it is trusted; a request must still
// name the host "meridian", so that no browser can be talked into sending one (attack row A02).
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy"
)

// Node is what the API talks to. All methods are safe for concurrent use.
type Node interface {
	Inspector
	Operator
}

// Inspector answers questions and changes nothing. Values must marshal to JSON.
type Inspector interface {
	// Status returns "status", "health": the node or its verdicts.
	Status(page string) any
	// Explain returns the decision for a query.
	Explain(q Query) (any, error)
}

// Operator carries out an operator's word.
type Operator interface {
	// ReloadFile reads the configuration again, or only the file of a zone, and returns the generation that serves then.
	ReloadFile(zone string) (any, error)
	Purger
	// Force puts an operator's word about a target in force, for a time or, with 0, until it is taken back.
	Force(target, state string, d time.Duration) (any, error)
	// AcceptCheck puts an edited check in force whatever it takes down.
	AcceptCheck(name string) (any, error)
}

// Purger takes responses out of the cache, and puts them in.
type Purger interface {
	// Prefetch asks for a URL as a client with these fields would, and returns what came of it.
	Prefetch(ctx context.Context, url string, fields httpwire.Fields) (any, error)
	// Purge carries a purge out and returns a receipt.
	Purge(ctx context.Context, q proxy.PurgeQuery) (any, error)
	// UndoPurge takes a soft purge back; Purges lists what is remembered.
	UndoPurge(id uint64) (any, error)
	Purges() any
}

// Query is a question for Explain: about a URL, or about a DNS name.
type Query struct {
	Method, URL string
	Name, Type  string
	Client      netip.Addr // invalid: nobody in particular
	// Subnet is the client subnet that a DNS question comes with; invalid: the usual one around Client.
	Subnet netip.Prefix
}

// SetClient sets who asks: an address or, for a DNS question, a subnet.
func (q *Query) SetClient(text string) error {
	if subnet, err := netip.ParsePrefix(text); err == nil && q.Name != "" {
		q.Subnet, q.Client = subnet.Masked(), subnet.Addr()
		return nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return fmt.Errorf("client %q is not an IP address such as 192.0.2.7, nor, for a DNS question, a subnet such as 192.0.2.0/24", text)
	}
	q.Client = addr
	return nil
}

// Host is the Host field every request must carry.
const Host = "meridian"

// Failure is the body of every answer that is not a success.
type Failure struct {
	Error string   `json:"error"`
	Items []string `json:"items,omitempty"` // one for each mistake of a refused configuration, in full
}

// Detailed is an error that is a list, such as the mistakes in a configuration.
type Detailed interface {
	error
	Items() []string
}

// NewServer returns the HTTP server of the API; the caller serves it on the socket.
func NewServer(n Node) *http.Server {
	mux := http.NewServeMux()
	for _, page := range []string{"status", "health"} {
		mux.HandleFunc("GET /v1/"+page, func(w http.ResponseWriter, _ *http.Request) { reply(w, n.Status(page), nil) })
	}
	mux.HandleFunc("GET /v1/explain", func(w http.ResponseWriter, r *http.Request) {
		q, err := parseQuery(r)
		if err != nil {
			fail(w, http.StatusBadRequest, err)
			return
		}
		v, err := n.Explain(q)
		reply(w, v, err)
	})
	mux.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, r *http.Request) {
		v, err := n.ReloadFile(r.URL.Query().Get("zone"))
		reply(w, v, err)
	})
	mux.HandleFunc("POST /v1/purge", func(w http.ResponseWriter, r *http.Request) {
		v, err := n.Purge(r.Context(), purgeQuery(r))
		reply(w, v, err)
	})
	mux.HandleFunc("POST /v1/prefetch", func(w http.ResponseWriter, r *http.Request) {
		fields, err := proxy.PrefetchFields(r.URL.Query()["header"])
		if err != nil {
			fail(w, http.StatusBadRequest, err)
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // a large object takes its time; the client's going ends it
		v, err := n.Prefetch(r.Context(), r.URL.Query().Get("url"), fields)
		reply(w, v, err)
	})
	mux.HandleFunc("GET /v1/purges", func(w http.ResponseWriter, _ *http.Request) { reply(w, n.Purges(), nil) })
	mux.HandleFunc("POST /v1/purges/undo", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseUint(r.URL.Query().Get("id"), 10, 64)
		if err != nil {
			fail(w, http.StatusBadRequest, errors.New("id is not the number of a purge"))
			return
		}
		v, err := n.UndoPurge(id)
		reply(w, v, err)
	})
	mux.HandleFunc("POST /v1/health/force", func(w http.ResponseWriter, r *http.Request) {
		v, err := force(n, r)
		reply(w, v, err)
	})
	mux.HandleFunc("POST /v1/health/accept", func(w http.ResponseWriter, r *http.Request) {
		v, err := n.AcceptCheck(r.URL.Query().Get("check"))
		reply(w, v, err)
	})
	return &http.Server{
		Handler: guard(mux), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
}

func purgeQuery(r *http.Request) proxy.PurgeQuery {
	v := r.URL.Query()
	return proxy.PurgeQuery{
		URL: v.Get("url"), Tag: v.Get("tag"), Host: v.Get("host"), All: v.Has("all"), Site: v.Get("distribution"),
		Soft: v.Has("soft"), DryRun: v.Has("dry_run"),
	}
}

// maxForce bounds how long a word may last; what is to last longer belongs into the configuration, or has no end.
const maxForce = 366 * 24 * time.Hour

func force(n Operator, r *http.Request) (any, error) {
	v := r.URL.Query()
	if v.Get("target") == "" {
		return nil, errors.New("target is missing")
	}
	var d time.Duration
	if text := v.Get("for"); text != "" {
		var err error
		if d, err = time.ParseDuration(text); err != nil || d <= 0 || d > maxForce {
			return nil, errors.New("for is not a duration such as 90s, 10m or 4h, of at most a year")
		}
	}
	return n.Force(v.Get("target"), v.Get("state"), d)
}

// guard refuses what a browser could have been made to send.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != Host || r.Header.Get("Origin") != "" {
			fail(w, http.StatusForbidden, errors.New("the Host must be "+Host+" and there must be no Origin"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func parseQuery(r *http.Request) (Query, error) {
	v := r.URL.Query()
	q := Query{Method: v.Get("method"), URL: v.Get("url"), Name: v.Get("name"), Type: v.Get("type")}
	if (q.URL == "") == (q.Name == "") {
		return q, errors.New("ask about one of url and name")
	}
	if q.Method == "" {
		q.Method = http.MethodGet
	}
	if q.Type == "" {
		q.Type = "A"
	}
	if c := v.Get("client"); c != "" {
		if err := q.SetClient(c); err != nil {
			return q, err
		}
	}
	return q, nil
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		fail(w, http.StatusUnprocessableEntity, err)
		return
	}
	write(w, http.StatusOK, v)
}

func fail(w http.ResponseWriter, status int, err error) {
	f := Failure{Error: err.Error()}
	var list Detailed
	if errors.As(err, &list) {
		f.Items = list.Items()
	}
	write(w, status, f)
}

func write(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the peer's loss when it has gone
}
