package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

var (
	errNotH2      = errors.New("the server does not speak HTTP/2")
	errNoALPN     = errors.New("the server does not offer h2")
	errH2Frames   = errors.New("too many HTTP/2 frames")
	errH2Bytes    = errors.New("more than 256 KiB of HTTP/2 frames")
	errH2Window   = errors.New("more HTTP/2 data than was allowed")
	errH2Response = errors.New("malformed HTTP/2 response")
)

// http2 sends the request on an HTTP/2 connection of its own and judges the response.
func (t *attempt) http2(ctx context.Context) Result {
	s, bad := t.exchange(t.method, t.path, t.fields(), nil)
	if bad != nil {
		return *bad
	}
	return t.judge(ctx, answer{s.status, s.field("content-encoding"), s})
}

// exchange sends a request and reads the response up to the end of its head.
func (t *attempt) exchange(method, path string, fields [][2]string, body []byte) (*stream, *Result) {
	if secure, ok := t.conn.(*tls.Conn); ok && secure.ConnectionState().NegotiatedProtocol != "h2" {
		r := t.fail(handshake, errNoALPN)
		return nil, &r
	}
	scheme := "http"
	if t.tls {
		scheme = "https"
	}
	s := newStream(t.conn)
	err := s.request([][2]string{{":method", method}, {":scheme", scheme}, {":authority", t.hostField()}, {":path", path}}, fields, body)
	if err == nil {
		err = s.head()
	}
	if err != nil {
		r := t.fail(exchanging, err)
		return nil, &r
	}
	return s, nil
}

// stream is the first and only stream of an HTTP/2 connection. It is driven by its reader: no goroutine, and no more than
// the limits of it ever in memory.
type stream struct {
	conn   io.Writer
	framer *http2.Framer
	out    bytes.Buffer // frames that are not sent yet
	frames int          // read

	status  int // 0: no final response yet
	inform  int // informational responses
	fields  []hpack.HeaderField
	trailer []hpack.HeaderField
	data    []byte // of the last DATA frame; gone with the next one
	got     int    // bytes of data, padding included
	ended   bool   // the response is complete
}

const streamID = 1 // RFC 9113 section 5.1.1

func newStream(conn net.Conn) *stream {
	s := &stream{conn: conn}
	s.framer = http2.NewFramer(&s.out, &limitedReader{from: conn, left: maxH2Bytes, err: errH2Bytes})
	s.framer.SetMaxReadFrameSize(maxH2Frame)
	s.framer.MaxHeaderListSize = maxHeadBytes
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return s
}

// request sends the preface, our settings and the whole request (RFC 9113 sections 3.4 and 8.1).
func (s *stream) request(pseudo, fields [][2]string, body []byte) error {
	s.out.WriteString(http2.ClientPreface)
	err := s.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeadBytes})
	if err != nil {
		return err
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, list := range [][][2]string{pseudo, fields} {
		for _, f := range list {
			if err := enc.WriteField(hpack.HeaderField{Name: strings.ToLower(f[0]), Value: f[1]}); err != nil {
				return err
			}
		}
	}
	rest := block.Bytes()
	part := cut(&rest)
	err = s.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: streamID, BlockFragment: part, EndHeaders: len(rest) == 0, EndStream: body == nil,
	})
	for err == nil && len(rest) > 0 {
		part = cut(&rest)
		err = s.framer.WriteContinuation(streamID, len(rest) == 0, part)
	}
	if err == nil && body != nil {
		err = s.framer.WriteData(streamID, true, body)
	}
	if err != nil {
		return err
	}
	return s.flush()
}

// cut takes from the front what fits into a frame.
func cut(rest *[]byte) (part []byte) {
	n := min(len(*rest), maxH2Frame)
	part, *rest = (*rest)[:n], (*rest)[n:]
	return part
}

func (s *stream) flush() error {
	_, err := s.out.WriteTo(s.conn)
	return err
}

// head reads up to the end of the final response's head.
func (s *stream) head() error {
	for s.status == 0 {
		if err := s.next(); err != nil {
			return err
		}
		if s.ended && s.status == 0 {
			return errH2Response
		}
	}
	return nil
}

// Read implements io.Reader: the body, up to the end of the response.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.data) == 0 {
		if s.ended {
			return 0, io.EOF
		}
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.data)
	s.data = s.data[n:]
	return n, nil
}

// next reads one frame and answers it where the protocol wants that.
func (s *stream) next() error {
	if s.frames++; s.frames > maxH2Frames {
		return errH2Frames
	}
	f, err := s.framer.ReadFrame()
	if s.frames == 1 { // the server's preface is its settings (RFC 9113 section 3.4)
		if _, ok := f.(*http2.SettingsFrame); !ok && (err == nil || isProtocolError(err)) {
			return errNotH2
		}
	}
	if err != nil {
		return err
	}
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return nil
		}
		_ = s.framer.WriteSettingsAck() // writing to memory does not fail
		return s.flush()
	case *http2.PingFrame:
		if f.IsAck() {
			return nil
		}
		_ = s.framer.WritePing(true, f.Data)
		return s.flush()
	case *http2.GoAwayFrame:
		if f.LastStreamID < streamID || f.ErrCode != http2.ErrCodeNo {
			return errors.New("GOAWAY " + f.ErrCode.String())
		}
	case *http2.PushPromiseFrame:
		return errH2Response // we said that we take none (RFC 9113 section 8.4)
	}
	if f.Header().StreamID == streamID {
		return s.own(f)
	}
	return nil
}

// isProtocolError tells what is wrong with a frame from what is wrong with the connection.
func isProtocolError(err error) bool {
	_, conn := errors.AsType[http2.ConnectionError](err)
	_, stream := errors.AsType[http2.StreamError](err)
	return conn || stream || errors.Is(err, http2.ErrFrameTooLarge)
}

// own takes a frame of our stream.
func (s *stream) own(f http2.Frame) error {
	if s.ended {
		return errH2Response
	}
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return s.headers(f)
	case *http2.DataFrame:
		if s.status == 0 {
			return errH2Response
		}
		if s.got += int(f.Length); s.got > maxH2Body {
			return errH2Window
		}
		s.data, s.ended = f.Data(), f.StreamEnded()
	case *http2.RSTStreamFrame:
		return errors.New("RST_STREAM " + f.ErrCode.String())
	}
	return nil
}

// headers takes a head or the trailers.
func (s *stream) headers(f *http2.MetaHeadersFrame) error {
	if f.Truncated {
		return errHeadTooLarge
	}
	if s.status != 0 {
		if !f.StreamEnded() { // trailers end the response (RFC 9113 section 8.1)
			return errH2Response
		}
		s.trailer, s.ended = f.Fields, true
		return nil
	}
	status, err := strconv.Atoi(f.PseudoValue("status"))
	if err != nil || status < 100 || status > 999 {
		return errH2Response
	}
	if status < 200 {
		if s.inform++; s.inform > maxInformational {
			return errTooManyHeads
		}
		if f.StreamEnded() {
			return errH2Response
		}
		return nil
	}
	s.status, s.fields, s.ended = status, f.RegularFields(), f.StreamEnded()
	return nil
}

// field returns the first field of the head with a name.
func (s *stream) field(name string) string { return value(s.fields, name) }

func value(fields []hpack.HeaderField, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}
