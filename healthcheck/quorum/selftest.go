package quorum

import "fmt"

// Seen is what a voter found at one target within one interval.
type Seen struct {
	// Fate names what fails together: an address, a host, a pool. A fate is one thing however many targets it has, so a
	// server with a hundred of them that dies is no reason for a voter to doubt itself.
	Fate string
	// Reference marks a target the operator chose because it is known to be up: its loss says something of the voter.
	Reference bool
	OK        bool
}

// minFates is how many unrelated things have to be looked at before their failing together says something about the one
// who looks.
const minFates = 3

// SelfTest says whether a voter should be believed, by what it saw within one interval (the idea of Lifeguard:
// https://arxiv.org/abs/1707.00788). It is not fit, and abstains, when more than half of at least three unrelated fates fail,
// or more than half of its reference targets do. A fate fails when more than half of its targets do. why is for people, and
// empty when the voter is fit.
func SelfTest(seen []Seen) (fit bool, why string) {
	type count struct{ failed, all int }
	fates := map[string]count{}
	var references count
	for _, s := range seen {
		failed := 1
		if s.OK {
			failed = 0
		}
		if s.Reference {
			references = count{references.failed + failed, references.all + 1}
			continue
		}
		f := fates[s.Fate]
		fates[s.Fate] = count{f.failed + failed, f.all + 1}
	}
	unrelated := count{all: len(fates)}
	for _, f := range fates {
		if 2*f.failed > f.all {
			unrelated.failed++
		}
	}
	switch {
	case 2*references.failed > references.all:
		return false, fmt.Sprintf("%d of %d reference targets fail", references.failed, references.all)
	case unrelated.all >= minFates && 2*unrelated.failed > unrelated.all:
		return false, fmt.Sprintf("%d of %d unrelated targets fail", unrelated.failed, unrelated.all)
	}
	return true, ""
}
