// Package rtt steadies the measured times of one way, so that an order that goes by them does not flap.
//
//	var m rtt.Meter
//	if m.Add(took) { show(m.Value()) } // a new value
//
// One slow answer is noise: what counts is the median of the last five. It is smoothed, and what is shown follows only when
// the smoothed time has been well away from it for a while. A Meter is a plain value without a clock; its users see to it that
// only one of them uses it at a time.
package rtt

import (
	"slices"
	"time"
)

const (
	window    = 5    // measurements of which the median counts
	least     = 3    // measurements before a value is shown
	smoothing = 0.25 // of a new median in the smoothed time
	patience  = 3    // measurements in a row that have to disagree with what is shown
	minAway   = time.Millisecond
	shareAway = 0.15 // of what is shown, when that is more than minAway
)

// Max is the longest time a Meter knows; longer ones count as it.
const Max = time.Minute

// Meter is the time of one way. The zero Meter has seen nothing.
type Meter struct {
	last   [window]uint32 // microseconds: there is one Meter for each of very many targets
	seen   uint8          // measurements, up to window
	next   uint8          // index in last
	away   uint8          // measurements in a row that disagree with shown
	smooth float32
	shown  uint32 // 0: none
}

// Add takes a measurement and reports whether Value has changed. Measurements of 0 and less are none.
func (m *Meter) Add(took time.Duration) bool {
	if took <= 0 {
		return false
	}
	m.last[m.next] = uint32(max(1, min(took, Max).Microseconds()))
	m.next = (m.next + 1) % window
	m.seen = min(m.seen+1, window)
	median := m.median()
	if m.smooth == 0 {
		m.smooth = median
	}
	m.smooth += (median - m.smooth) * smoothing
	switch {
	case m.shown == 0:
		return m.seen >= least && m.show()
	case !m.isAway():
		m.away = 0
		return false
	}
	m.away++
	return m.away >= patience && m.show()
}

func (m *Meter) median() float32 {
	sorted := m.last
	slices.Sort(sorted[:m.seen])
	return float32(sorted[m.seen/2])
}

// isAway reports whether the smoothed time is well away from the one shown.
func (m *Meter) isAway() bool {
	limit := max(float32(minAway/time.Microsecond), shareAway*float32(m.shown))
	return m.smooth-float32(m.shown) > limit || float32(m.shown)-m.smooth > limit
}

func (m *Meter) show() bool {
	m.away = 0
	m.shown = max(1, uint32(m.smooth+0.5))
	return true
}

// Value is the steadied time; 0: there are too few measurements.
func (m *Meter) Value() time.Duration { return time.Duration(m.shown) * time.Microsecond }

// Recall begins with a value from before, 0 being none. Measurements move it as they would have.
func (m *Meter) Recall(value time.Duration) {
	if us := min(value, Max).Microseconds(); us > 0 {
		*m = Meter{shown: uint32(us), smooth: float32(us)}
	}
}
