package tap

// Queued is how many events wait to be sent.
func Queued(d *Dnstap) int { return len(d.frames) }
