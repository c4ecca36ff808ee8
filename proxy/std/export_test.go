package std

import (
	"net/http"
	"net/netip"
	"time"
)

// Serve is the handler a Server gives to net/http.
func Serve(s *Server) http.HandlerFunc { return s.serve }

// SetTimes shortens the limits of a Server that does not serve yet.
func SetTimes(s *Server, stall, idle time.Duration) { s.writeStall, s.bodyIdle = stall, idle }

// ClientOf is what counts as one client.
func ClientOf(a netip.Addr) netip.Addr { return clientOf(a) }

// NewID makes a request id.
func NewID() string { return newID() }
