package origin

import "time"

// What one origin can take of this edge (attack rows P11, P13, R05).
const (
	maxHeadBytes    = 64 << 10 // response head with all informational heads before it
	maxInterim      = 16       // informational responses before the final one
	maxChunkLine    = 4 << 10  // one chunk-size line with its extensions
	maxTrailerBytes = 4 << 10  // trailer section; read and dropped (attack row S19)

	maxIdlePerEndpoint = 256 // the default of limits.origin_conns
	// idleTimeout is below the keep-alive of common origins (nginx 75 s, AWS load balancers 60 s and up), so that it is
	// usually us who closes. Origins with shorter ones (Apache httpd and Node.js close after 5 s) are covered by the second
	// attempt on a fresh connection.
	idleTimeout = 60 * time.Second

	defaultConnectTimeout = time.Second
	defaultReadTimeout    = 15 * time.Second
	handshakeTimeout      = 5 * time.Second
	defaultAttempts       = 3
	defaultMaxConns       = 256
	defaultRetryPercent   = 10
)
