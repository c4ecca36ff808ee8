package discover

import (
	"context"
	"time"

	"github.com/miekg/dns"
)

// Lookup asks the resolvers that the names of pools are asked for, as configured last: the records of a name and type, after CNAMEs,
// and the smallest TTL on the way. A name that exists without such records has none and no error.
func (w *Watcher) Lookup(ctx context.Context, name string, qtype uint16) ([]dns.RR, time.Duration, error) {
	return (&resolver{dial: w.dial, servers: w.servers}).lookup(ctx, name, qtype)
}
