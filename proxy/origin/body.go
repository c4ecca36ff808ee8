package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// errSealed is what net/http gets when it reads a request body after the attempt is over.
var errSealed = errors.New("request body is no longer needed")

// requestBody stands between net/http, which may read from a goroutine of its own even after RoundTrip has returned, and the
// body of the request.
type requestBody struct {
	source io.Reader
	sent   func() // called once at the end of the body

	mu     sync.Mutex // guards the fields below; not held while reading
	read   bool       // something was read, so the body cannot be sent again
	sealed bool
	err    error // what ended the body; io.EOF: it is complete
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.sealed || b.err != nil {
		err := b.err
		b.mu.Unlock()
		if err == nil {
			err = errSealed
		}
		return 0, err
	}
	b.read = true
	b.mu.Unlock()
	n, err := b.source.Read(p)
	if err != nil {
		b.mu.Lock()
		b.err = err
		sent := b.sent
		b.mu.Unlock()
		if err == io.EOF && sent != nil {
			sent()
		}
	}
	return n, err
}

// Close is called by net/http when it wants no more.
func (b *requestBody) Close() error {
	b.seal()
	return nil
}

// seal ends reading. A nil body has nothing to seal.
func (b *requestBody) seal() {
	if b != nil {
		b.mu.Lock()
		b.sealed = true
		b.mu.Unlock()
	}
}

// touched reports whether some of the body may be gone.
func (b *requestBody) touched() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}

// complete reports whether the whole body was read.
func (b *requestBody) complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF
}

// failure is why the body could not be read; nil: it could.
func (b *requestBody) failure() *fault.Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil || b.err == io.EOF {
		return nil
	}
	if e, ok := errors.AsType[*fault.Error](b.err); ok {
		return e
	}
	return fault.New(fault.ClientGone, b.err)
}

// responseBody is the body of a response. It ends with io.EOF only when the message is complete.
type responseBody struct {
	attempt *attempt
	source  io.ReadCloser
	gone    context.Context // of the call
	err     error           // sticky
	closed  bool

	judged func(status int) // hears how it ended, once; nil: nobody wants to know, or has heard it
	status int              // of the head
}

// tell says how the response ended: with the status of its head, or with 0 when the endpoint broke it off.
func (b *responseBody) tell(status int) {
	if b.judged != nil {
		b.judged(status)
		b.judged = nil
	}
}

// Read implements io.Reader.
func (b *responseBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.source.Read(p)
	if err != nil {
		b.err = b.end(err)
	}
	return n, b.err
}

// end names what ended the body.
func (b *responseBody) end(err error) error {
	if err == io.EOF {
		b.tell(b.status)
		return err
	}
	var reason *fault.Error
	if cause := b.gone.Err(); cause != nil {
		reason = contextFault(cause)
		b.tell(b.status) // so far it was good
	} else {
		reason = readFault(b.attempt.conn, err)
		b.tell(0)
	}
	return &fault.Error{Code: reason.Code, Err: fmt.Errorf("%w: %w", httpwire.ErrTruncated, reason.Err)}
}

// Close gives up what has not been read: the connection is closed unless the body has ended.
func (b *responseBody) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.tell(b.status) // nobody wants the rest
	if b.err == nil {
		b.err = fault.New(fault.Unexpected, errors.New("read of a closed body"))
	}
	b.attempt.body.seal()
	err := b.source.Close()
	b.attempt.finish()
	return err
}
