// Package message writes DNS replies in wire form: the question as it was asked, records copied from what was packed before, and OPT.
//
//	set, err := message.Pack(dnswire.TypeA, time.Minute, []string{"192.0.2.1", "192.0.2.2"}) // once
//
//	var r message.Reply // one per worker, used again and again
//	r.Start(dst, packet, &query, limit)
//	r.Authoritative = true
//	r.Put(message.Answer, set, dnswire.HeaderLen, draw)
//	dst = r.Finish(&query, scope)
//
// It knows no zones. Reading is done by internal/dnswire, and what to answer is decided in dns.
package message
