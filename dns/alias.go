package dns

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/internal/dnswire"
	"github.com/meridian-edge/meridian/steer"
)

// aliasTTL is of the answers of aliases to pools, distributions and accelerators: they change with health, as Route 53's.
const aliasTTL = 60 * time.Second

// compileAlias makes a set of what its only alias points at.
func (b *builder) compileAlias(s *source, a *config.Alias) (err error) {
	if err := checkAliasType(s.typ, a); err != nil {
		return err
	}
	switch {
	case a.Host != "":
		i := b.addLeaf(leaf{host: a.Host, id: a.Host})
		s.steered = &steered{leaf: i, choices: []int{i}}
	case a.Pool != "":
		if s.group, err = b.poolGroup(s, a.Pool); err != nil || s.group == nil {
			return err
		}
		return b.steer(s)
	case a.Distribution != "" || a.Accelerator != "":
		s.answer, err = b.edgeAnswer(s, a)
	default:
		return b.compileRecordAlias(s, a.Record)
	}
	return err
}

// checkAliasType refuses aliases that have no records of a type.
func checkAliasType(typ uint16, a *config.Alias) error {
	address := typ == dnswire.TypeA || typ == dnswire.TypeAAAA
	switch {
	case a.Distribution != "" && !address && typ != mdns.TypeHTTPS:
		return fmt.Errorf("an alias to a distribution is of type A, AAAA or HTTPS, not %s", mdns.Type(typ))
	case a.Host+a.Pool+a.Accelerator != "" && !address:
		return fmt.Errorf("an alias to a host, a pool or an accelerator is of type A or AAAA, not %s", mdns.Type(typ))
	}
	return nil
}

// compileRecordAlias answers as if asked at another record, with its TTL.
func (b *builder) compileRecordAlias(s *source, name string) error {
	target, data, err := b.aliasTarget(s, name)
	if err != nil || target == nil {
		s.answer = data
		return err
	}
	if err := b.compileSet(target); err != nil {
		return fmt.Errorf("alias to %s: %w", target, err)
	}
	s.answer, s.group = target.answer, target.group
	if target.steered != nil {
		copied := *target.steered
		copied.together = copied.together || s.record.Together && hasPolicy(s.group, steer.Simple, steer.Weighted, steer.Multivalue)
		s.steered = &copied
	}
	return nil
}

// aliasTarget finds the record of the same zone and type that an alias points at, or the answer that the zone's data has there.
func (b *builder) aliasTarget(s *source, alias string) (*source, message.Records, error) {
	name, err := parseName(alias)
	if err != nil {
		return nil, message.Records{}, fmt.Errorf("alias: %w", err)
	}
	if target := b.sets[setKey{string(name), s.typ}]; target != nil {
		return target, message.Records{}, nil
	}
	err = fmt.Errorf("alias to %s: no %s record there", alias, strings.ToUpper(s.record.Type))
	if b.u.data == nil {
		return nil, message.Records{}, err
	}
	set := b.u.data.Find(name, s.typ)
	if set.Len() == 0 {
		b.fault(fmt.Errorf("%s: %w", s, err)) // the data may have had it yesterday
	}
	var answer message.Records
	for data := range set.RData() {
		answer.Wire = append(message.AppendHead(answer.Wire, s.typ, set.TTL, len(data)), data...)
		answer.N++
	}
	return nil, answer, nil
}

// aliasMember fills in what an answer of a policy with an alias stands for.
func (b *builder) aliasMember(s *source, a *config.Answer, m *steer.Member) (err error) {
	if err := checkAliasType(s.typ, a.Alias); err != nil {
		return err
	}
	switch {
	case a.Alias.Host != "":
		m.Leaf = b.addLeaf(leaf{host: a.Alias.Host, id: a.ID})
	case a.Alias.Pool != "":
		if m.Alias, err = b.poolGroup(s, a.Alias.Pool); err == nil && m.Alias == nil {
			err = fmt.Errorf("pool %q has no address for type %s", a.Alias.Pool, mdns.Type(s.typ))
		}
	case a.Alias.Distribution != "" || a.Alias.Accelerator != "":
		var answer message.Records
		if answer, err = b.edgeAnswer(s, a.Alias); err == nil && answer.N == 0 {
			err = fmt.Errorf("there is no address for type %s", mdns.Type(s.typ))
		}
		m.Leaf = b.addLeaf(leaf{blob: blob{Records: answer}, id: a.ID})
	default:
		m.Alias, err = b.recordGroup(s, a.Alias.Record)
	}
	return err
}

// recordGroup is the group an alias member points at: the target's own policy, or a group of one for anything else.
func (b *builder) recordGroup(s *source, name string) (*steer.Group, error) {
	target, answer, err := b.aliasTarget(s, name)
	if err != nil {
		return nil, err
	}
	single := leaf{blob: blob{Records: answer}, id: "values"}
	group := &steer.Group{Name: name + " " + strings.ToUpper(s.record.Type)}
	if target != nil {
		if err := b.compileSet(target); err != nil {
			return nil, fmt.Errorf("alias to %s: %w", target, err)
		}
		if target.group != nil {
			return target.group, nil
		}
		single.Records, group.Name = target.answer, groupName(target)
		if target.steered != nil {
			single = b.u.leaves[target.steered.leaf]
		}
	}
	group.Members = []steer.Member{{ID: "values", Slot: steer.Always, Leaf: b.addLeaf(single)}}
	if target != nil {
		target.group = group
	}
	return group, nil
}

// ofType keeps the addresses that fit a type.
func ofType(typ uint16, addrs []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return a.Is4() != (typ == dnswire.TypeA) })
}

// edgeAnswer is the answer of an alias to a distribution or an accelerator: no records when it has addresses, but none of the type.
func (b *builder) edgeAnswer(s *source, a *config.Alias) (message.Records, error) {
	var addrs []netip.Addr
	if a.Accelerator != "" {
		b.use(factAccelerator, a.Accelerator)
		if addrs = b.env.accelerator(a.Accelerator); addrs == nil {
			return message.Records{}, fmt.Errorf("unknown accelerator %q", a.Accelerator)
		}
	} else {
		b.use(factEdge, "")
		addrs = b.env.addresses()
		if _, found := b.env.cfg.Distribution(a.Distribution); !found {
			return message.Records{}, fmt.Errorf("unknown distribution %q", a.Distribution)
		}
	}
	switch {
	case len(addrs) == 0:
		return message.Records{}, errors.New("this edge has no address to answer with: set edge.addresses")
	case s.typ == mdns.TypeHTTPS:
		return b.serviceRecord(addrs)
	}
	var answer message.Records
	for _, addr := range ofType(s.typ, addrs) {
		answer.Wire = message.AppendAddress(answer.Wire, message.ClampTTL(aliasTTL), addr)
		answer.N++
	}
	return answer, nil
}

// serviceRecord is the HTTPS record of what listens here (RFC 9460): none without a listener for https.
func (b *builder) serviceRecord(addrs []netip.Addr) (message.Records, error) {
	listeners := b.env.cfg.Listeners.HTTPS
	if len(listeners) == 0 {
		return message.Records{}, nil
	}
	value := `1 . alpn="h2,h3"`
	if !slices.ContainsFunc(listeners, func(l netip.AddrPort) bool { return l.Port() == 443 }) {
		value += fmt.Sprintf(" port=%d", listeners[0].Port())
	}
	for _, hint := range []struct {
		key string
		typ uint16
	}{{" ipv4hint=", dnswire.TypeA}, {" ipv6hint=", dnswire.TypeAAAA}} {
		var texts []string
		for _, addr := range ofType(hint.typ, addrs) {
			texts = append(texts, addr.String())
		}
		if len(texts) > 0 {
			value += hint.key + strings.Join(texts, ",")
		}
	}
	return message.Pack(mdns.TypeHTTPS, aliasTTL, []string{value})
}

// poolGroup describes the endpoints of a pool that have an address of a type: nil when there are others, but none of those.
func (b *builder) poolGroup(s *source, name string) (*steer.Group, error) {
	b.use(factPool, name)
	policy, endpoints, found := b.env.pool(name)
	if !found {
		return nil, fmt.Errorf("unknown pool %q", name)
	}
	group := &steer.Group{Name: "pool " + name, Policy: poolPolicy(policy, endpoints)}
	if len(endpoints) == 0 { // discovery has found nothing yet: there is no answer, which is not the same as an empty one
		group.Members = []steer.Member{{ID: "none", Slot: steer.Always, Leaf: b.addLeaf(leaf{id: "none"})}}
		return group, nil
	}
	if group.Policy == steer.Failover {
		slices.SortStableFunc(endpoints, func(x, y poolEndpoint) int { return cmp.Compare(roleRank(x.role), roleRank(y.role)) })
	}
	leaves := map[string]int{} // endpoints that share an address are one answer, given while any of them is up
	for _, e := range endpoints {
		key := e.host
		if key == "" {
			if e.addr.Is4() != (s.typ == dnswire.TypeA) {
				continue
			}
			key = e.addr.String()
		}
		m := steer.Member{ID: e.id, Slot: e.slot, Weight: uint8(min(e.weight, 255)), Point: e.point}
		shared, there := leaves[key]
		if !there {
			shared = b.addLeaf(endpointLeaf(e))
			leaves[key] = shared
		}
		m.Leaf = shared
		group.Members = append(group.Members, m)
	}
	if len(group.Members) == 0 {
		return nil, nil
	}
	return group, nil
}

func endpointLeaf(e poolEndpoint) leaf {
	if e.host != "" {
		return leaf{host: strings.TrimSuffix(e.host, ".") + ".", id: e.id}
	}
	return leaf{blob: blob{Records: message.Records{Wire: message.AppendAddress(nil, message.ClampTTL(aliasTTL), e.addr), N: 1}}, id: e.id}
}

// poolPolicy is what comes closest to a pool's policy in answers. Those that go by requests have none: several healthy endpoints
// are answered together or, when weights say that they are not alike, one by weight.
func poolPolicy(policy string, endpoints []poolEndpoint) steer.Policy {
	switch policy {
	case "weighted":
		return steer.Weighted
	case "failover":
		return steer.Failover
	case "latency":
		return steer.Latency
	}
	if slices.ContainsFunc(endpoints, func(e poolEndpoint) bool { return e.weight != endpoints[0].weight }) {
		return steer.Weighted
	}
	return steer.Multivalue
}
