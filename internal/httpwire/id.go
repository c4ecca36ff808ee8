package httpwire

// ID is a well-known field name. Other means: look at Field.Name.
type ID uint8

// The names the edge itself looks at.
const (
	Other ID = iota
	Accept
	AcceptEncoding
	AcceptLanguage
	AcceptRanges
	Age
	Allow
	AltSvc
	Authorization
	CacheControl
	CacheStatus
	CDNCacheControl
	CDNLoop
	Connection
	ContentEncoding
	ContentLength
	ContentLocation
	ContentRange
	ContentType
	Cookie
	Date
	ETag
	Expect
	Expires
	Forwarded
	Host
	HTTP2Settings
	IfMatch
	IfModifiedSince
	IfNoneMatch
	IfRange
	IfUnmodifiedSince
	KeepAlive
	LastModified
	Location
	MaxForwards
	Origin
	Pragma
	ProxyAuthenticate
	ProxyAuthorization
	ProxyConnection
	ProxyStatus
	Range
	Referer
	RetryAfter
	Server
	ServerTiming
	SetCookie
	SurrogateControl
	TE
	Trailer
	TransferEncoding
	Upgrade
	UserAgent
	Vary
	Via
	Warning
	WWWAuthenticate
	XForwardedFor
	XForwardedHost
	XForwardedPort
	XForwardedProto
	XRealIP
	XRequestID
	idCount
)

var names = [idCount]string{
	Other: "", Accept: "Accept", AcceptEncoding: "Accept-Encoding", AcceptLanguage: "Accept-Language",
	AcceptRanges: "Accept-Ranges", Age: "Age", Allow: "Allow", AltSvc: "Alt-Svc", Authorization: "Authorization",
	CacheControl: "Cache-Control", CacheStatus: "Cache-Status", CDNCacheControl: "CDN-Cache-Control", CDNLoop: "CDN-Loop",
	Connection: "Connection", ContentEncoding: "Content-Encoding", ContentLength: "Content-Length",
	ContentLocation: "Content-Location", ContentRange: "Content-Range", ContentType: "Content-Type", Cookie: "Cookie",
	Date: "Date", ETag: "ETag", Expect: "Expect", Expires: "Expires", Forwarded: "Forwarded", Host: "Host",
	HTTP2Settings: "HTTP2-Settings", IfMatch: "If-Match", IfModifiedSince: "If-Modified-Since", IfNoneMatch: "If-None-Match",
	IfRange: "If-Range", IfUnmodifiedSince: "If-Unmodified-Since", KeepAlive: "Keep-Alive", LastModified: "Last-Modified",
	Location: "Location", MaxForwards: "Max-Forwards", Origin: "Origin", Pragma: "Pragma",
	ProxyAuthenticate: "Proxy-Authenticate", ProxyAuthorization: "Proxy-Authorization", ProxyConnection: "Proxy-Connection",
	ProxyStatus: "Proxy-Status", Range: "Range", Referer: "Referer", RetryAfter: "Retry-After", Server: "Server",
	ServerTiming: "Server-Timing", SetCookie: "Set-Cookie", SurrogateControl: "Surrogate-Control", TE: "TE",
	Trailer: "Trailer", TransferEncoding: "Transfer-Encoding", Upgrade: "Upgrade", UserAgent: "User-Agent", Vary: "Vary",
	Via: "Via", Warning: "Warning", WWWAuthenticate: "WWW-Authenticate", XForwardedFor: "X-Forwarded-For",
	XForwardedHost: "X-Forwarded-Host", XForwardedPort: "X-Forwarded-Port", XForwardedProto: "X-Forwarded-Proto",
	XRealIP: "X-Real-IP", XRequestID: "X-Request-Id",
}

// String returns the canonical spelling, or "" for Other.
func (id ID) String() string { return names[id] }

// Identify finds the id of a field name, ignoring case. It does not allocate.
func Identify(name string) ID {
	if len(name) < 2 || len(name) > maxNameLen {
		return Other
	}
	for _, id := range byLength[len(name)] {
		if equalFold(names[id], name) {
			return id
		}
	}
	return Other
}

const maxNameLen = 19 // Proxy-Authorization, If-Unmodified-Since

// byLength buckets the ids by the length of their names: at most seven compares, most of them lost on the first byte.
var byLength = func() (table [maxNameLen + 1][]ID) {
	for id := Other + 1; id < idCount; id++ {
		n := len(names[id])
		table[n] = append(table[n], id)
	}
	return table
}()

// equalFold compares ASCII strings of one length, ignoring the case of letters.
func equalFold(a, b string) bool {
	for i := range len(a) {
		if x, y := a[i], b[i]; x != y && (x^y != 0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}

// Known reports whether id is one of the ids above other than Other.
func (id ID) Known() bool { return id > Other && id < idCount }
