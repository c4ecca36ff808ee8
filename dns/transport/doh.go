package transport

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Path is where DoH is served.
const Path = "/dns-query"

const mediaType = "application/dns-message" // RFC 8484 section 6

// linkKey is the context key of the *peer a request came from.
type linkKey struct{}

// peer is what a handler knows about a connection.
type peer struct {
	from  netip.AddrPort
	entry *entry
}

// Handler answers DoH requests (RFC 8484) at Path, whatever serves them. A request that did not come through ServeHTTPS or ServeHTTP3
// is from its RemoteAddr.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serveDoH) }

// wrong is a request that gets no DNS message.
type wrong struct {
	status int
	why    refusal
	text   string
}

func (s *Server) serveDoH(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.limits.Receive)) // a writer that cannot is bounded by its server
	buffer := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buffer)
	packet, bad := query(r, *buffer)
	if cap(packet) <= MaxQuery+1 && cap(packet) > cap(*buffer) {
		*buffer = packet[:0] // read into the same memory next time
	}
	if bad == nil {
		var reply []byte
		if reply, bad = s.ask(r, packet); bad == nil {
			_ = control.SetWriteDeadline(time.Now().Add(s.limits.Write))
			deliver(w, reply)
			return
		}
	}
	s.metrics.kinds[HTTPS].refused[bad.why].Inc()
	_ = control.SetWriteDeadline(time.Now().Add(s.limits.Write))
	h := w.Header()
	if bad.status == http.StatusMethodNotAllowed {
		h.Set("Allow", "GET, HEAD, POST")
	}
	h.Set("Cache-Control", "no-store")
	http.Error(w, bad.text, bad.status)
}

// deliver writes a reply. What is steered depends on the client's address, so no shared cache may hand it on.
func deliver(w http.ResponseWriter, reply []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(reply)))
	if seconds, ok := freshness(reply); ok {
		h.Set("Cache-Control", "private, max-age="+strconv.FormatUint(uint64(seconds), 10))
	} else {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(reply) // the client may have gone
}

// query reads the DNS message out of a request, into buffer when that is large enough.
func query(r *http.Request, buffer []byte) ([]byte, *wrong) {
	var packet []byte
	var bad *wrong
	switch {
	case !r.ProtoAtLeast(1, 1):
		return nil, &wrong{http.StatusHTTPVersionNotSupported, refusedVersion, "HTTP/1.1 or later is needed"}
	case r.URL.Path != Path:
		return nil, &wrong{http.StatusNotFound, refusedPath, "DNS is at " + Path}
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		packet, bad = fromURL(r.URL.RawQuery)
	case r.Method == http.MethodPost:
		packet, bad = fromBody(r, buffer)
	default:
		return nil, &wrong{http.StatusMethodNotAllowed, refusedMethod, "use GET or POST"}
	}
	if bad != nil {
		return packet, bad
	}
	if len(packet) < headerLen || packet[2]&0x80 != 0 {
		return packet, &wrong{http.StatusBadRequest, refusedMalformed, "this is no DNS query"}
	}
	if opcode := packet[2] >> 3 & 0xF; r.Method != http.MethodPost && (opcode == opcodeNotify || opcode == opcodeUpdate) {
		// What changes something must not be a link that anybody can be made to follow (RFC 9110 section 9.2.1).
		return packet, &wrong{http.StatusBadRequest, refusedMalformed, "use POST for NOTIFY and UPDATE"}
	}
	return packet, nil
}

// Opcodes of messages that change something (RFC 1996, RFC 2136).
const (
	opcodeNotify = 4
	opcodeUpdate = 5
)

// fromURL reads the variable dns (RFC 8484 section 4.1): base64url without padding, once.
func fromURL(raw string) ([]byte, *wrong) {
	if len(raw) > 2*base64.RawURLEncoding.EncodedLen(MaxGET) {
		return nil, &wrong{http.StatusRequestURITooLong, refusedTooLong, "use POST for a message of this size"}
	}
	values, err := url.ParseQuery(raw)
	if err != nil || len(values["dns"]) != 1 {
		return nil, &wrong{http.StatusBadRequest, refusedMalformed, "the variable dns is needed once"}
	}
	text := values["dns"][0]
	if base64.RawURLEncoding.DecodedLen(len(text)) > MaxGET {
		return nil, &wrong{http.StatusRequestURITooLong, refusedTooLong, "use POST for a message of this size"}
	}
	packet, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, &wrong{http.StatusBadRequest, refusedMalformed, "the variable dns is not base64url without padding"}
	}
	return packet, nil
}

func fromBody(r *http.Request, buffer []byte) ([]byte, *wrong) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != mediaType {
		return nil, &wrong{http.StatusUnsupportedMediaType, refusedMedia, "the Content-Type must be " + mediaType}
	}
	tooLong := &wrong{http.StatusRequestEntityTooLarge, refusedTooLong, "no query is as long as this"}
	if r.ContentLength > MaxQuery {
		return nil, tooLong
	}
	if cap(buffer) <= MaxQuery {
		buffer = make([]byte, 0, MaxQuery+1)
	}
	buffer = buffer[:MaxQuery+1]
	n, err := io.ReadFull(r.Body, buffer)
	switch {
	case err == nil:
		return buffer, tooLong
	case errors.Is(err, io.ErrUnexpectedEOF) && r.ContentLength >= 0 && int64(n) < r.ContentLength:
		return buffer, &wrong{http.StatusBadRequest, refusedCancelled, "the message was cut off"}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return buffer[:n], nil
	}
	return buffer, &wrong{http.StatusRequestTimeout, refusedSlow, "the message did not come in time"}
}

var errOneReply = errors.New("one reply has been sent, and HTTPS takes no more")

// ask gets the reply to a message.
func (s *Server) ask(r *http.Request, packet []byte) ([]byte, *wrong) {
	from := netip.AddrPort{}
	if p, ok := r.Context().Value(linkKey{}).(*peer); ok {
		from = p.from
		p.entry.touch()
	} else if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		from = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	var reply []byte
	if s.takes(packet) {
		reply = s.handOne(r.Context(), packet, from)
	} else {
		a := s.answerers.Get().(Answerer)
		reply = s.answer(a, nil, packet, from, HTTPS)
		s.answerers.Put(a)
	}
	if len(reply) == 0 {
		return nil, &wrong{http.StatusServiceUnavailable, refusedEmpty, "no answer"}
	}
	return reply, nil
}

// handOne gives a message to Messages and returns the first reply: a response over HTTP is one message (RFC 8484 section 4.2).
func (s *Server) handOne(ctx context.Context, packet []byte, from netip.AddrPort) (first []byte) {
	s.metrics.kinds[HTTPS].handed.Inc()
	s.messages.Handle(ctx, &Message{Packet: packet, From: from, Kind: HTTPS, Send: func(reply []byte) error {
		if first != nil {
			return errOneReply
		}
		first = append([]byte{}, reply...)
		return nil
	}})
	return first
}
