// Package rules is HTTP caching as pure functions: what may be stored, for how long it is fresh, what selects it, how it is validated
// and updated, and which bytes of it a range means (RFC 9111, RFC 9110 §13 and §14, RFC 5861).
//
//	v := rules.Storable(&rules.Candidate{Request: head, Status: 200, Fields: fields, Policy: policy, Requested: t0, Received: t1})
//	if v.Store && v.Fresh.Fresh(now) { ... }
//
// Two profiles share them: rfc9111 and, where a policy names it, cloudfront. Nothing here does I/O, reads a clock or keeps state;
// everything is safe for concurrent use.
package rules

import "time"

const (
	maxVaryNames = 32        // names in a Vary field; more: not stored
	maxWithheld  = 32        // fields that private and no-cache name; more: as without names
	maxMembers   = 64        // of a structured field with directives; more: the field does not count
	maxDelta     = 1<<31 - 1 // seconds (RFC 9111 §1.2.2)

	// MaxDuration is the longest freshness or age there is.
	MaxDuration = maxDelta * time.Second

	heuristicErrors = 10 * time.Second // the most that an error without a stated lifetime gets without error_ttl (attack row C11)

	selectorCost = 64 // bytes of a selector in memory, its strings not counted
)

// The reasons a Verdict gives for not storing, and a Wish for not asking the store. They are part of the log format.
const (
	ReasonOff           = "off"              // the policy stores nothing
	ReasonMethod        = "method"           // not GET or HEAD
	ReasonBody          = "request body"     // GET with a body (attack row C02)
	ReasonPrecondition  = "precondition"     // If-Match or If-Unmodified-Since
	ReasonUpgrade       = "upgrade"          // the connection is to change protocol
	ReasonRequest       = "request no-store" // the client's no-store
	ReasonStatus        = "status"           // a status that is not stored
	ReasonNoStore       = "no-store"
	ReasonPrivate       = "private"
	ReasonNoCache       = "no-cache" // without a validator
	ReasonAuthorization = "authorization"
	ReasonSetCookie     = "set-cookie"
	ReasonVary          = "vary"         // Vary: *, or too many names
	ReasonFreshness     = "no freshness" // none stated, or stale on arrival and of no use later
)
