package std

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// write writes the response: the only function of this front that does. It returns false when the message could not be
// completed, and the connection or stream must be aborted. Body and request body are closed, then Done is called, each once,
// whatever happens.
func (x *exchange) write(response *httpwire.Response) bool {
	out := &writer{exchange: x, length: response.Length}
	err := x.send(response, out)
	out.end()
	if response.Body != nil {
		x.guarded(func() { _ = response.Body.Close() })
	}
	x.body.shut()
	if response.Done != nil {
		x.guarded(func() { response.Done(out.written, err) })
	}
	return err == nil
}

// guarded runs foreign code that must not keep the rest from being done.
func (x *exchange) guarded(f func()) {
	defer func() {
		if p := recover(); p != nil {
			x.server.panicked(x, p)
		}
	}()
	f()
}

// send writes head and body.
func (x *exchange) send(response *httpwire.Response, out *writer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = x.server.panicked(x, p)
		}
	}()
	if response.Status < 200 || response.Status > 999 {
		x.w.WriteHeader(http.StatusInternalServerError)
		return fault.New(fault.Unexpected, fmt.Errorf("status %d", response.Status))
	}
	x.writeHead(response)
	if response.Body != nil && x.r.Method != http.MethodHead && mayHaveBody(response.Status) {
		if err := x.writeBody(response, out); err != nil {
			return err
		}
	}
	out.extend() // net/http writes the last bytes after the handler has returned
	if x.Head.Proto == httpwire.HTTP3 && x.r.Method == http.MethodHead && response.Length < 0 {
		_ = x.rc.Flush() // http3 adds a length of 0 to a head it still has
	}
	return nil
}

// mayHaveBody is RFC 9110 section 6.4.1.
func mayHaveBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// writeHead hands the head to net/http.
func (x *exchange) writeHead(response *httpwire.Response) {
	header := x.w.Header()
	setFields(header, response.Fields)
	if _, there := header["Content-Type"]; !there {
		header["Content-Type"] = nil // there, so that net/http does not guess one
	}
	length := response.Length
	if response.Body == nil && length < 0 && x.r.Method != http.MethodHead {
		length = 0
	}
	// A 304 has none: net/http refuses to send it, and all protocols should look alike.
	if length >= 0 && mayHaveBody(response.Status) {
		header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	if x.body != nil && x.Head.Proto <= httpwire.HTTP11 && !x.body.complete() {
		// net/http may not read the rest, and then closes the connection: the client should know before it uses it again.
		header["Connection"] = []string{"close"}
	}
	if x.TLS != nil && x.Head.Proto != httpwire.HTTP3 && x.server.options.AltSvc != nil {
		if alternative := x.server.options.AltSvc(); alternative != "" {
			header["Alt-Svc"] = []string{alternative}
		}
	}
	x.w.WriteHeader(response.Status)
}

// setFields turns fields into net/http's form. Fields of the connection are net/http's to write; what may not be sent is left
// out, whoever made it (attack row S31).
func setFields(header http.Header, fields httpwire.Fields) {
	values := make([]string, len(fields))
	for i := range fields {
		f := &fields[i]
		switch f.ID {
		case httpwire.Connection, httpwire.KeepAlive, httpwire.ProxyConnection, httpwire.TransferEncoding, httpwire.Upgrade,
			httpwire.ContentLength, httpwire.Trailer, httpwire.TE, httpwire.HTTP2Settings:
			continue
		}
		if !httpwire.IsToken(f.Name) || !httpwire.IsFieldValue(f.Value) {
			continue
		}
		name := f.Name
		if f.ID != httpwire.Other {
			name = f.ID.String()
		}
		if before, there := header[name]; there {
			header[name] = append(before, f.Value)
			continue
		}
		values[i] = f.Value
		header[name] = values[i : i+1 : i+1]
	}
}

// writeBody copies the body and checks that it is complete.
func (x *exchange) writeBody(response *httpwire.Response, out *writer) error {
	out.begin()
	var err error
	if direct, ok := response.Body.(io.WriterTo); ok {
		var to io.Writer = out
		if out.sends() {
			to = sender{out}
		}
		_, err = direct.WriteTo(to)
	} else {
		err = x.copyBody(response.Body, out)
	}
	switch {
	case errors.Is(out.err, errTooLong):
		return fault.New(fault.Unexpected, out.err)
	case out.err != nil:
		return fault.New(fault.ClientGone, out.err)
	case err != nil:
		return err
	case response.Length >= 0 && out.written < response.Length:
		return fault.New(fault.OriginAborted, httpwire.ErrTruncated)
	}
	return nil
}

// copyBody moves a body step by step. What a Read returns is on its way before the next Read, so that a body that pauses is
// seen as far as it has come.
func (x *exchange) copyBody(body io.Reader, out *writer) error {
	buffer := x.server.buffers.Get().(*[bufferSize]byte)
	defer x.server.buffers.Put(buffer)
	for {
		n, err := body.Read(buffer[:])
		if n > 0 {
			if _, failed := out.Write(buffer[:n]); failed != nil {
				return failed
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case out.complete():
			return nil
		}
	}
}
