package healthcheck

import (
	"time"

	"github.com/meridian-edge/meridian/healthcheck/quorum"
)

// Opinions returns both opinions about every target that is probed, with the votes they were made of, by endpoint and check.
func (f *Fleet) Opinions() []Opinion {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	list := f.board.Opinions()
	for i := range list {
		list[i].Voices = f.council.Voices(now, quorum.Target(list[i].Key))
	}
	return list
}
