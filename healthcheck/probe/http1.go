package probe

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

var (
	errHeadTooLarge = errors.New("head above 16 KiB")
	errBodyTooLarge = errors.New("body above 64 KiB")
	errTooManyHeads = errors.New("too many informational responses")
)

// answer is a final response of any version of HTTP, of which the body is not read yet.
type answer struct {
	status   int
	encoding string // Content-Encoding
	body     io.Reader
}

// http1 sends the request and judges the response.
func (t *attempt) http1(ctx context.Context) Result {
	if _, err := t.conn.Write(t.request()); err != nil {
		return t.fail(exchanging, err)
	}
	limited := &limitedReader{from: t.conn, left: maxHeadBytes, err: errHeadTooLarge}
	resp, err := finalResponse(bufio.NewReader(limited), t.method)
	if err != nil {
		return t.fail(exchanging, err)
	}
	limited.left, limited.err = maxBodyBytes, errBodyTooLarge
	return t.judge(ctx, answer{resp.StatusCode, resp.Header.Get("Content-Encoding"), resp.Body})
}

// judge looks at the status, and into the body when the check searches it. A redirect is a status like any other.
func (t *attempt) judge(ctx context.Context, r answer) Result {
	took := time.Since(t.began)
	status := strconv.Itoa(r.status)
	if !t.wants(r.status) {
		t.drain(ctx, r.body)
		return Result{Kind: KindStatus, Reason: "status " + status + ", want " + statuses(t.statuses), Latency: took}
	}
	if t.search == "" {
		t.drain(ctx, r.body)
		return t.okAfter(status, took)
	}
	if t.route53 {
		t.within(ctx, route53Body)
	}
	looked, err := find(r, t.search)
	switch {
	case errors.Is(err, errNotFound):
		return t.not(KindContent, status+", but "+quote([]byte(t.search))+" is not in the first "+strconv.Itoa(looked)+" bytes")
	case err != nil:
		return t.fail(reading, err)
	}
	return t.ok(status + " with the text")
}

// finalResponse reads heads up to one that is not informational (RFC 9110 section 15.2).
func finalResponse(r *bufio.Reader, method string) (*http.Response, error) {
	for range maxInformational {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
	return nil, errTooManyHeads
}

// drain reads what there is of the body, so that the server can end the connection in good order. The verdict is already
// known: a body that is endless, slow or cut off does not change it.
func (t *attempt) drain(ctx context.Context, body io.Reader) {
	_ = t.conn.SetReadDeadline(time.Now().Add(maxBodyTime))
	if ctx.Err() != nil {
		return // the deadline just set was the second one
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(body, maxBodyBytes))
}

// limitedReader fails when more is read than a limit.
type limitedReader struct {
	from io.Reader
	left int
	err  error
}

// Read implements io.Reader.
func (r *limitedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, r.err
	}
	n, err := r.from.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}
