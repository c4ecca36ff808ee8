// Package fault gives every error that a client, a log line or an operator can meet a stable code, a side and a status.
//
//	return nil, fault.New(fault.NoHost, nil)
//
// Codes never change their meaning; `meridian explain CODE` prints the catalogue entry.
// All functions are safe for concurrent use.
package fault

import (
	"errors"
	"fmt"
)

// Side says whose doing an error is.
type Side uint8

// The three sides of an exchange.
const (
	Internal   Side = iota // ours
	Downstream             // the client's
	Upstream               // the origin's
)

func (s Side) String() string {
	return [...]string{"internal", "downstream", "upstream"}[s]
}

// Error is a failed step of an exchange. It is immutable.
type Error struct {
	Code  Code
	Retry bool  // nothing reached the client and the upstream cannot have acted on the request
	Err   error // cause; may be nil; never shown to clients
}

// New wraps cause, which may be nil, in an Error that must not be retried.
func New(code Code, cause error) *Error { return &Error{Code: code, Err: cause} }

// Retryable wraps cause in an Error that may be tried again elsewhere.
func Retryable(code Code, cause error) *Error { return &Error{Code: code, Retry: true, Err: cause} }

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s", e.Code, e.Code.Entry().Title)
	}
	return fmt.Sprintf("%s: %s: %v", e.Code, e.Code.Entry().Title, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// As returns the first Error in err's chain, or an E-INTERNAL around err. As(nil) is nil.
func As(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return New(Unexpected, err)
}
