package healthcheck

// machine turns results of probes into a state. It is a plain value: no clock, no locks.
//
//	Unknown -- success --> Up        Up   -- fall failures in a row --> Down
//	Unknown -- fall failures --> Down    Down -- rise successes in a row --> Up
type machine struct {
	state     State
	successes int // in a row
	failures  int // in a row
}

// record counts one result and reports whether it changed the state. Thresholds below 1 mean 1.
func (m *machine) record(ok bool, rise, fall int) bool {
	if ok {
		m.successes++
		m.failures = 0
		if m.state == Unknown || m.state == Down && m.successes >= rise {
			m.state = Up
			return true
		}
		return false
	}
	m.failures++
	m.successes = 0
	if m.state != Down && m.failures >= fall {
		m.state = Down
		return true
	}
	return false
}
