package fault

import (
	"slices"
	"strings"
)

// Code is a stable name such as E-ROUTE-NOHOST.
type Code string

// The catalogue. A code is added here, never renamed.
const (
	NoHost         Code = "E-ROUTE-NOHOST"
	BadHost        Code = "E-ROUTE-BADHOST"
	BadTarget      Code = "E-ROUTE-BADTARGET"
	NoBehavior     Code = "E-ROUTE-NOBEHAVIOR"
	Method         Code = "E-ROUTE-METHOD"
	Misdirected    Code = "E-ROUTE-MISDIRECTED"
	Loop           Code = "E-ROUTE-LOOP"
	HeadTooLarge   Code = "E-LIMIT-HEAD"
	TargetTooLong  Code = "E-LIMIT-TARGET"
	BodyTooLarge   Code = "E-LIMIT-BODY"
	FieldName      Code = "E-REQUEST-FIELDNAME"
	OnlyIfCached   Code = "E-CACHE-ONLYIFCACHED"
	NoEndpoint     Code = "E-ORIGIN-NOENDPOINT"
	Connect        Code = "E-ORIGIN-CONNECT"
	OriginName     Code = "E-ORIGIN-NAME"
	OriginTLS      Code = "E-ORIGIN-TLS"
	OriginTimeout  Code = "E-ORIGIN-TIMEOUT"
	OriginProtocol Code = "E-ORIGIN-PROTOCOL"
	OriginAborted  Code = "E-ORIGIN-ABORTED"
	OriginBusy     Code = "E-ORIGIN-BUSY"
	ClientGone     Code = "E-CLIENT-GONE"
	Unexpected     Code = "E-INTERNAL"
)

// Entry is what `meridian explain CODE` prints.
type Entry struct {
	Status int    // HTTP status of the response it becomes
	Side   Side   // whose doing it is
	Proxy  string // error type for Proxy-Status (RFC 9209 section 2.3)
	Title  string // what happened, lower case, no period
	Remedy string // what the reader can do about it
}

var catalogue = map[Code]Entry{
	NoHost:         {421, Downstream, "destination_not_found", "no distribution serves this host", "Add the host to the domains of a distribution, or point its DNS name elsewhere. No origin was contacted."},
	BadHost:        {400, Downstream, "http_request_error", "the Host field is missing, repeated or malformed", "Send exactly one Host field that names a host, with an optional port."},
	BadTarget:      {400, Downstream, "http_request_error", "the request target is malformed or ambiguous", "Send a path that starts with / and has no control bytes, backslashes or encoded / \\ . ; NUL."},
	NoBehavior:     {404, Downstream, "http_request_error", "no behavior of the distribution matches this path", "End the distribution's behaviors with one whose path is \"*\"."},
	Method:         {405, Downstream, "http_request_denied", "the behavior does not allow this method", "List the method under `methods:` of the behavior that matches the path; see `meridian explain URL`."},
	Misdirected:    {421, Downstream, "http_request_error", "the connection's TLS name does not cover this host", "Open a connection whose server name (SNI) is the host you ask for (RFC 9110 section 15.5.20)."},
	Loop:           {508, Downstream, "proxy_loop_detected", "the request has passed through this edge before", "An origin points back at an edge. Look at the CDN-Loop and Via fields, then correct the origin's address."},
	HeadTooLarge:   {431, Downstream, "http_request_error", "the request head is larger than allowed", "Send fewer or shorter fields, or raise limits.header_bytes or limits.header_fields."},
	TargetTooLong:  {414, Downstream, "http_request_error", "the request target is longer than allowed", "Shorten the URL, or raise limits.target_bytes."},
	BodyTooLarge:   {413, Downstream, "http_request_error", "the request body is larger than allowed", "Send less, or raise limits.body_bytes."},
	FieldName:      {400, Downstream, "http_request_error", "a field name has an underscore or another byte that is not allowed", "Use hyphens. Underscored names are refused because origins confuse them with hyphenated ones."},
	OnlyIfCached:   {504, Downstream, "http_request_error", "the client asked for a stored response only, and there is none", "Repeat the request without Cache-Control: only-if-cached."},
	NoEndpoint:     {503, Upstream, "destination_unavailable", "the origin's pool has no endpoint to try", "Look at the pool with `meridian explain URL`; give it at least one endpoint."},
	Connect:        {502, Upstream, "connection_refused", "no endpoint accepted a connection", "See that the origin listens on the pool's addresses; `meridian explain URL` lists those that were tried."},
	OriginName:     {502, Upstream, "dns_error", "the origin's name does not resolve to an address that may be dialled", "Look the name up on the edge's host; addresses that are link-local, unspecified or multicast are refused on purpose."},
	OriginTLS:      {502, Upstream, "tls_protocol_error", "the TLS handshake with the origin failed", "Compare with `openssl s_client -connect ADDRESS -servername NAME`; set tls_server_name, or skip_verify if the certificate cannot be checked."},
	OriginTimeout:  {504, Upstream, "http_response_timeout", "the origin did not answer in time", "See why the origin is slow, or raise read_timeout of the origin."},
	OriginProtocol: {502, Upstream, "http_protocol_error", "the origin's response breaks HTTP", "Compare with `curl -v` against the origin itself; the log line carries the cause."},
	OriginAborted:  {502, Upstream, "http_response_incomplete", "the origin closed the connection before the response was complete", "Look at the origin's own log at the time of the request id."},
	OriginBusy:     {503, Upstream, "connection_limit_reached", "every endpoint has its limit of connections in use", "Add endpoints, or raise limits.origin_conns."},
	ClientGone:     {499, Downstream, "http_request_error", "the client closed the connection before the response was complete", "Nothing: it is logged for the record and never sent."},
	Unexpected:     {500, Internal, "proxy_internal_error", "the edge met an error it has no name for", "The log line with the same request id carries the cause; please report it."},
}

// Entry returns the catalogue entry of c; an unknown code gets the entry of E-INTERNAL.
func (c Code) Entry() Entry {
	if e, ok := catalogue[c]; ok {
		return e
	}
	return catalogue[Unexpected]
}

// Lookup finds a code by name, ignoring case.
func Lookup(name string) (Code, bool) {
	c := Code(strings.ToUpper(name))
	_, ok := catalogue[c]
	return c, ok
}

// Codes lists the catalogue in order of name.
func Codes() []Code {
	list := make([]Code, 0, len(catalogue))
	for c := range catalogue {
		list = append(list, c)
	}
	slices.Sort(list)
	return list
}
