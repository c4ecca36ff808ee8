package dns

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/dnswire"
	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// compileSet turns a record into its rrset: one leaf when the answer is always the same, a tree when a policy picks it.
func (c *compiler) compileSet(s *source) error {
	if s.compiled {
		return nil
	}
	if s.visiting {
		return errors.New("alias loop")
	}
	s.visiting = true
	defer func() { s.visiting = false }()
	set := rrset{typ: s.typ}
	switch r := s.record; {
	case (s.typ == dnswire.TypeNS || s.typ == dnswire.TypeSOA) && (r.Alias != nil || len(r.Answers) > 0):
		return errors.New("neither a policy nor an alias can stand here") // every server of a zone must name the same ones
	case r.Alias != nil: // answered as if asked at the target, with the target's TTL
		target, err := c.aliasTarget(s, r.Alias)
		if err != nil {
			return err
		}
		if err := c.compileSet(target); err != nil {
			return fmt.Errorf("alias to %s: %w", target, err)
		}
		set = target.set
	case len(r.Answers) == 0:
		b, err := compileValues(s.typ, r.TTL, r.Values)
		if err != nil {
			return err
		}
		set.leaf = c.addLeaf(b)
		set.choices = []int{set.leaf}
	default:
		group, err := c.policyGroup(s)
		if err != nil {
			return err
		}
		if set.tree, err = steer.Compile(group); err != nil {
			return err
		}
		s.group = group
		set.choices, set.multi = leavesOf(group, nil), hasMultivalue(group)
	}
	set.about = describe(s)
	s.set, s.compiled = set, true
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

func hasMultivalue(g *steer.Group) bool {
	return g.Policy == steer.Multivalue || slices.ContainsFunc(g.Members, func(m steer.Member) bool {
		return m.Alias != nil && hasMultivalue(m.Alias)
	})
}

func describe(s *source) *about {
	a := &about{name: s.record.Name, typ: strings.ToUpper(s.record.Type), policy: s.record.Policy, line: s.record.Line}
	switch {
	case s.record.Alias != nil:
		a.policy = "alias of " + s.record.Alias.Record
	case a.policy == "":
		a.policy = "simple"
	}
	return a
}

func (c *compiler) addLeaf(b blob) int {
	c.leaves = append(c.leaves, b)
	return len(c.leaves) - 1
}

// aliasTarget finds the record of the same zone and type that an alias points at.
func (c *compiler) aliasTarget(s *source, alias *config.Alias) (*source, error) {
	name, err := parseName(alias.Record)
	if err != nil {
		return nil, fmt.Errorf("alias: %w", err)
	}
	target := c.sets[setKey{s.zone, string(name), s.typ}]
	if target == nil {
		return nil, fmt.Errorf("alias to %s: no %s record there", alias.Record, strings.ToUpper(s.record.Type))
	}
	return target, nil
}

// groupOf is the group an alias member points at: the target's own policy, or a group of one for a simple record.
func (c *compiler) groupOf(s *source) (*steer.Group, error) {
	if err := c.compileSet(s); err != nil {
		return nil, err
	}
	switch {
	case s.group != nil:
	case s.record.Alias != nil:
		target, err := c.aliasTarget(s, s.record.Alias)
		if err != nil {
			return nil, err
		}
		return c.groupOf(target)
	default:
		s.group = &steer.Group{Name: groupName(s), Members: []steer.Member{{ID: "values", Slot: steer.Always, Leaf: s.set.leaf}}}
	}
	return s.group, nil
}

func groupName(s *source) string { return s.record.Name + " " + strings.ToUpper(s.record.Type) }

// policyGroup describes a policy record to steer.
func (c *compiler) policyGroup(s *source) (*steer.Group, error) {
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
	group := &steer.Group{Name: groupName(s), Policy: policy, Members: make([]steer.Member, len(answers))}
	for i, a := range answers {
		if group.Members[i], err = c.member(s, a); err != nil {
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

func (c *compiler) member(s *source, a *config.Answer) (steer.Member, error) {
	m := steer.Member{
		ID: a.ID, Slot: steer.Always, Bias: a.Bias,
		Country: a.Country, Continent: a.Continent, Subdivision: a.Subdivision, Default: a.Default,
	}
	if a.Weight < 0 || a.Weight > 255 {
		return m, fmt.Errorf("weight %d is not in 0-255", a.Weight)
	}
	m.Weight = uint8(a.Weight)
	if a.Check != "" && c.deps.Slot != nil {
		m.Slot = c.deps.Slot(a.Check)
	}
	for _, block := range a.CIDRs {
		m.CIDRs = append(m.CIDRs, netip.Prefix.Masked(block))
	}
	switch {
	case a.HasPoint:
		m.Point = geo.At(a.Lat, a.Lon)
	case a.Region != "":
		point, ok := c.deps.Regions[a.Region]
		if !ok {
			return m, fmt.Errorf("unknown region %q", a.Region)
		}
		m.Point = point
	}
	if a.Alias == nil {
		b, err := compileValues(s.typ, s.record.TTL, a.Values)
		b.id = a.ID
		m.Leaf = c.addLeaf(b)
		return m, err
	}
	target, err := c.aliasTarget(s, a.Alias)
	if err != nil {
		return m, err
	}
	m.EvaluateTargetHealth = a.EvaluateTargetHealth
	m.Alias, err = c.groupOf(target)
	if err != nil {
		err = fmt.Errorf("alias to %s: %w", target, err)
	}
	return m, err
}
