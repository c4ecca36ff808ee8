package dns

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// compileSet turns a record into its set: one answer when it is always the same, a tree when a policy picks it.
func (b *builder) compileSet(s *source) error {
	if s.compiled {
		return nil
	}
	if s.visiting {
		return errors.New("alias loop")
	}
	s.visiting = true
	defer func() { s.visiting = false }()
	var err error
	switch r := s.record; {
	case r.Alias != nil:
		err = b.compileAlias(s, r.Alias)
	case len(r.Answers) == 0:
		s.answer, err = message.Pack(s.typ, r.TTL, r.Values)
	default:
		if s.group, err = b.policyGroup(s); err == nil {
			err = b.steer(s)
		}
	}
	s.compiled = err == nil
	return err
}

// steer makes a set's tree of its group.
func (b *builder) steer(s *source) error {
	tree, err := steer.Compile(s.group)
	if err != nil {
		return err
	}
	s.steered = &steered{
		tree: tree, choices: leavesOf(s.group, nil), multi: hasPolicy(s.group, steer.Multivalue),
		together: s.record.Together && hasPolicy(s.group, steer.Simple, steer.Weighted, steer.Multivalue),
	}
	return nil
}

// leavesOf appends every leaf below a group, each once.
func leavesOf(g *steer.Group, leaves []int) []int {
	for i := range g.Members {
		m := &g.Members[i]
		if m.Alias != nil {
			leaves = leavesOf(m.Alias, leaves)
		} else if !slices.Contains(leaves, m.Leaf) {
			leaves = append(leaves, m.Leaf)
		}
	}
	return leaves
}

// hasPolicy reports whether a group, or one below it, chooses among several by one of the policies.
func hasPolicy(g *steer.Group, policies ...steer.Policy) bool {
	return len(g.Members) > 1 && slices.Contains(policies, g.Policy) || slices.ContainsFunc(g.Members, func(m steer.Member) bool {
		return m.Alias != nil && hasPolicy(m.Alias, policies...)
	})
}

func (b *builder) addLeaf(l leaf) int {
	b.u.leaves = append(b.u.leaves, l)
	return len(b.u.leaves) - 1
}

func groupName(s *source) string { return s.record.Name + " " + strings.ToUpper(s.record.Type) }

// policyGroup describes a policy record to steer.
func (b *builder) policyGroup(s *source) (*steer.Group, error) {
	policy, err := steer.ParsePolicy(s.record.Policy)
	if err != nil {
		return nil, err
	}
	answers := make([]*config.Answer, len(s.record.Answers))
	for i := range answers {
		answers[i] = &s.record.Answers[i]
	}
	if policy == steer.Failover { // steer tries members as listed
		slices.SortStableFunc(answers, func(a, b *config.Answer) int { return cmp.Compare(roleRank(a.Role), roleRank(b.Role)) })
	}
	if s.record.Together { // equal draws then mean equal ids, in whatever order the records list them
		switch policy {
		case steer.Weighted, steer.Simple, steer.Multivalue:
			slices.SortStableFunc(answers, func(a, b *config.Answer) int { return cmp.Compare(a.ID, b.ID) })
		}
	}
	group := &steer.Group{Name: groupName(s), Policy: policy, Members: make([]steer.Member, len(answers))}
	for i, a := range answers {
		if group.Members[i], err = b.member(s, a); err != nil {
			return nil, fmt.Errorf("answer %q: %w", a.ID, err)
		}
	}
	return group, nil
}

func roleRank(role string) int {
	switch role {
	case "primary":
		return 0
	case "secondary":
		return 2
	}
	return 1
}

func (b *builder) member(s *source, a *config.Answer) (steer.Member, error) {
	m := steer.Member{
		ID: a.ID, Slot: steer.Always, Bias: a.Bias,
		Country: a.Country, Continent: a.Continent, Subdivision: a.Subdivision, Default: a.Default,
	}
	if a.Weight < 0 || a.Weight > 255 {
		return m, fmt.Errorf("weight %d is not in 0-255", a.Weight)
	}
	m.Weight = uint8(a.Weight)
	if a.Check != "" {
		b.use(factSlot, a.Check)
		m.Slot = b.env.slot(a.Check)
	}
	for _, block := range a.CIDRs {
		m.CIDRs = append(m.CIDRs, netip.Prefix.Masked(block))
	}
	switch {
	case a.HasPoint:
		m.Point = geo.At(a.Lat, a.Lon)
	case a.Region != "":
		b.use(factRegion, a.Region)
		point, ok := b.env.deps.Regions[a.Region]
		if !ok {
			return m, fmt.Errorf("unknown region %q", a.Region)
		}
		m.Point = point
	}
	if a.Alias == nil {
		answer, err := message.Pack(s.typ, s.record.TTL, a.Values)
		m.Leaf = b.addLeaf(leaf{blob: blob{Records: answer}, id: a.ID})
		return m, err
	}
	m.EvaluateTargetHealth = a.EvaluateTargetHealth
	err := b.aliasMember(s, a, &m)
	return m, err
}
