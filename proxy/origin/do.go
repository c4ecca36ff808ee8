package origin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/steer"
)

// call is one Do.
type call struct {
	transport *Transport
	ctx       context.Context // of this call only
	target    *Target
	request   *Request
	header    http.Header // the same for every attempt; net/http only reads it
	sent      *requestBody

	report Report
	asked  int                // endpoints
	held   *httpwire.Response // a response that another endpoint might do better than
	err    *fault.Error       // of the last attempt that failed
}

// Do sends the request to the first candidate that can answer it, under the retry rules of the package comment, and returns
// the response as soon as its head is there. The context governs the response body too. Body is nil when there is none; else
// it must be closed, and a Read of it that does not end with io.EOF ends with a *fault.Error that wraps
// httpwire.ErrTruncated. Fields come sorted by name, without Content-Length and Transfer-Encoding; Trailers are dropped
// (attack row S19), informational responses too.
//
// Every error is a *fault.Error: E-ORIGIN-NOENDPOINT, -CONNECT, -TIMEOUT, -PROTOCOL, -ABORTED, -BUSY, E-CLIENT-GONE,
// E-REQUEST-FIELDNAME for fields that cannot be sent, or what reading the request's body failed with. With several attempts
// it is the last one's, and a response that was passed over is returned rather than an error.
func (t *Transport) Do(ctx context.Context, target *Target, request *Request) (*httpwire.Response, Report, error) {
	c := &call{transport: t, ctx: ctx, target: target, request: request}
	if err := c.prepare(); err != nil {
		return nil, c.report, err
	}
	health := target.Health
	if health == nil {
		health = allUp{}
	}
	pool := t.pool(target)
	pool.budget.earn(target.RetryPercent)
	client := t.Client(target, request)
	client.Turn = pool.turn.Add(1) - 1
	var response *httpwire.Response
	first := true
	for pick := range target.Tree.Candidates(&client, health) {
		if first {
			t.metrics.steered(target.Name, &pick)
			first = false
		}
		var more bool
		if response, more = c.endpoint(&pick, pool.budget); !more {
			break
		}
	}
	return c.end(response)
}

// allUp is the opinion of nobody.
type allUp struct{}

func (allUp) Up(steer.Slot) bool { return true }

// prepare checks what is the same for every attempt.
func (c *call) prepare() error {
	if err := c.ctx.Err(); err != nil {
		return contextFault(err)
	}
	r := c.request
	if !httpwire.IsToken(r.Head.Method) || r.Head.Method == http.MethodConnect {
		return fault.New(fault.Method, errors.New("method cannot be sent"))
	}
	var err error
	if c.header, err = makeHeader(r.Head.Fields); err != nil {
		return err
	}
	if r.Body != nil && r.Length != 0 {
		c.sent = &requestBody{source: r.Body}
	}
	return nil
}

// body is the request's body for the next attempt; nil: none. Attempts share one source: only an untouched body is sent
// again.
func (c *call) body() *requestBody {
	if c.sent == nil {
		return nil
	}
	c.sent = &requestBody{source: c.sent.source}
	return c.sent
}

// endpoint asks one endpoint, twice when its connection was dead. It returns true when the next candidate is to be asked; c
// holds what came of this one.
func (c *call) endpoint(pick *steer.Pick, budget *budget) (*httpwire.Response, bool) {
	index := pick.Leaf
	e := &c.target.Endpoints[index]
	limit := c.target.limit(e)
	if pick.Limit > 0 {
		limit = min(limit, pick.Limit)
	}
	peer := c.transport.peer(c.target, e)
	for second := false; ; second = true {
		if !peer.enter(limit) {
			c.fail(Attempt{Endpoint: e.ID, Index: index}, fault.Retryable(fault.OriginBusy, nil))
			return nil, true
		}
		if !second {
			c.asked++
		}
		a := &attempt{call: c, peer: peer}
		response, err := a.run(c.ctx)
		o := outcome{safe: safeMethod(c.request.Head.Method), second: second, more: c.asked < c.attempts()}
		c.note(Attempt{Endpoint: e.ID, Index: index}, a, response, err, &o)
		c.observe(index, &o, response)
		step, costs := decide(o)
		if step == stop || !c.pay(costs, budget) {
			return response, false
		}
		if response != nil {
			c.hold(response)
		}
		if step == next {
			return nil, true
		}
		peer.http.CloseIdleConnections() // where one is dead the others are
	}
}

// note writes an attempt down, and completes what the decision to try again depends on.
func (c *call) note(at Attempt, a *attempt, response *httpwire.Response, err error, o *outcome) {
	at.Connect, at.Reused = a.connect, a.reused
	now := time.Now()
	o.left = a.left()
	o.bodyRead = a.body != nil && a.body.touched()
	o.gone = c.ctx.Err() != nil
	if err == nil {
		c.drop()
		c.err = nil
		at.Status, at.FirstByte = response.Status, now.Sub(a.began)-a.connect
		a.peer.meter.observe(penalized(at.FirstByte, retriedStatus(at.Status)), now)
		o.status = response.Status
		c.report.Attempts = append(c.report.Attempts, at)
		c.transport.metrics.attempts.WithLabelValues("response").Inc()
		return
	}
	failure := a.classify(err)
	o.stale = a.stale() && failure.Code == fault.OriginAborted
	if failure.Code.Entry().Side == fault.Downstream {
		o.gone = true // no other endpoint can do better
	}
	if a.conn == nil {
		at.Connect = now.Sub(a.began)
	}
	if !o.gone && !o.stale { // else it was not the endpoint's doing
		a.peer.meter.observe(penalized(now.Sub(a.began), true), now)
	}
	c.fail(at, failure)
}

// penalized is what an attempt counts for the latency of its endpoint.
func penalized(took time.Duration, failed bool) time.Duration {
	if failed {
		return max(took, failurePenalty)
	}
	return took
}

// observe tells how an attempt ended when the endpoint is to be judged by it. A response below 500 is good only when its body was: that
// is told when the body has ended.
func (c *call) observe(endpoint int, o *outcome, response *httpwire.Response) {
	if c.target.Observer == nil || o.gone || o.stale || o.status == 0 && !blames(c.err) {
		return
	}
	if response != nil && response.Status < http.StatusInternalServerError {
		if body, ok := response.Body.(*responseBody); ok && body.gone != nil {
			body.judged = func(status int) { c.target.Observer.Attempted(endpoint, status) }
			body.status = response.Status
			return
		}
	}
	c.target.Observer.Attempted(endpoint, o.status)
}

// blames reports whether a failure is the endpoint's.
func blames(err *fault.Error) bool {
	if err == nil {
		return false
	}
	switch err.Code {
	case fault.Connect, fault.OriginName, fault.OriginTLS, fault.OriginTimeout, fault.OriginProtocol, fault.OriginAborted:
		return true
	}
	return false
}

// fail records a failed attempt.
func (c *call) fail(at Attempt, failure *fault.Error) {
	at.Err, c.err = failure, failure
	c.report.Attempts = append(c.report.Attempts, at)
	c.transport.metrics.attempts.WithLabelValues(string(failure.Code)).Inc()
}

// pay reports whether a retry may be made.
func (c *call) pay(costs bool, budget *budget) bool {
	switch {
	case !costs:
		c.transport.metrics.retries.WithLabelValues("free").Inc()
		return true
	case budget.spend(time.Now()):
		c.transport.metrics.retries.WithLabelValues("paid").Inc()
		return true
	}
	c.transport.metrics.retries.WithLabelValues("denied").Inc()
	return false
}

// hold keeps a response in case no other endpoint does better.
func (c *call) hold(response *httpwire.Response) { c.held = response }

// drop gives up the response that is held.
func (c *call) drop() {
	if c.held != nil && c.held.Body != nil {
		_ = c.held.Body.Close()
	}
	c.held = nil
}

// end makes the result of all attempts.
func (c *call) end(response *httpwire.Response) (*httpwire.Response, Report, error) {
	if response == nil {
		response = c.held
	}
	c.held = nil
	switch {
	case c.ctx.Err() != nil && response == nil:
		return nil, c.report, contextFault(c.ctx.Err())
	case response != nil:
		return response, c.report, nil
	case c.err != nil:
		return nil, c.report, c.err
	}
	return nil, c.report, fault.New(fault.NoEndpoint, nil)
}

// attempts is how many endpoints may be asked.
func (c *call) attempts() int {
	n := c.target.Attempts
	if n <= 0 {
		n = defaultAttempts
	}
	return min(n, len(c.target.Endpoints))
}

func (c *call) readTimeout() time.Duration {
	if c.target.ReadTimeout <= 0 {
		return defaultReadTimeout
	}
	return c.target.ReadTimeout
}
