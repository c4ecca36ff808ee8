package steer_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

func compile(t testing.TB, g *steer.Group) *steer.Tree {
	t.Helper()
	tree, err := steer.Compile(g)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// firsts returns the ids that come first over many draws, sorted.
func firsts(tree *steer.Tree, c steer.Client, h steer.Health) []string {
	seen := map[string]bool{}
	for i := range 200 {
		c.Random = uint64(i) * 0x2545f4914f6cdd1d
		if pick, ok := tree.Pick(&c, h); ok {
			seen[pick.ID] = true
		}
	}
	var out []string
	for id := range seen {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// order returns the ids of all candidates; a last resort has a question mark.
func order(tree *steer.Tree, c steer.Client, h steer.Health) string {
	var out []string
	for pick := range tree.Candidates(&c, h) {
		id := pick.ID
		if pick.LastResort {
			id += "?"
		}
		out = append(out, id)
	}
	return strings.Join(out, " ")
}

// The truth table of https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html for weights
// 1, 1, 0: U is unhealthy, H healthy.
func TestWeightedTruthTable(t *testing.T) {
	group := &steer.Group{Policy: steer.Weighted, Members: []steer.Member{
		{ID: "a", Slot: 0, Weight: 1}, {ID: "b", Slot: 1, Weight: 1}, {ID: "c", Slot: 2, Weight: 0},
	}}
	tree := compile(t, group)
	for states, want := range map[string]string{
		"UUH": "c", "UUU": "a b", "UHU": "b", "HUU": "a", "HHU": "a b", "HHH": "a b", "HUH": "a", "UHH": "b",
	} {
		down := board{}
		for i, s := range states {
			down[steer.Slot(i)] = s == 'U'
		}
		if got := strings.Join(firsts(tree, steer.Client{}, down), " "); got != want {
			t.Errorf("%s: answered by %q, want %q", states, got, want)
		}
	}
}

func TestWeightedAllZeroAreAlike(t *testing.T) {
	tree := compile(t, &steer.Group{Policy: steer.Weighted, Members: []steer.Member{
		{ID: "a", Slot: steer.Always}, {ID: "b", Slot: steer.Always},
	}})
	if got := firsts(tree, steer.Client{}, board{}); len(got) != 2 {
		t.Errorf("answered by %v, want both", got)
	}
}

func TestFailoverBothDownIsPrimary(t *testing.T) {
	tree := compile(t, &steer.Group{Policy: steer.Failover, Members: []steer.Member{{ID: "one", Slot: 0}, {ID: "two", Slot: 1}}})
	for _, c := range []struct {
		down board
		want string
	}{
		{board{}, "one two"},
		{board{0: true}, "two one?"},
		{board{1: true}, "one two?"},
		{board{0: true, 1: true}, "one? two?"},
	} {
		if got := order(tree, steer.Client{}, c.down); got != c.want {
			t.Errorf("down %v: %q, want %q", c.down, got, c.want)
		}
	}
}

var (
	frankfurt = geo.At(50.11, 8.68)
	ashburn   = geo.At(39.04, -77.49)
	tokyo     = geo.At(35.68, 139.69)
)

func TestLatencyGoesToTheNextNearest(t *testing.T) {
	tree := compile(t, &steer.Group{Policy: steer.Latency, Members: []steer.Member{
		{ID: "eu", Slot: 0, Point: frankfurt}, {ID: "us", Slot: 1, Point: ashburn}, {ID: "ap", Slot: 2, Point: tokyo},
	}})
	london := steer.Client{From: geo.At(51.5, -0.1)}
	if got := order(tree, london, board{}); got != "eu us ap" {
		t.Errorf("from London: %q", got)
	}
	if got := order(tree, london, board{0: true}); got != "us ap eu?" {
		t.Errorf("from London with eu down: %q", got)
	}
	if got := order(tree, steer.Client{}, board{}); got != "eu us ap" {
		t.Errorf("from nowhere the order of listing decides: %q", got)
	}
}

// A tree as in https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-complex-configs.html: with target
// health a dead branch is backed out of; without, it is answered from although everything in it fails.
func TestEvaluateTargetHealth(t *testing.T) {
	pair := &steer.Group{Policy: steer.Failover, Members: []steer.Member{{ID: "one", Slot: 0}, {ID: "two", Slot: 1}}}
	f := func(evaluate bool, down board, want string) {
		t.Helper()
		tree := compile(t, &steer.Group{Policy: steer.Latency, Members: []steer.Member{
			{ID: "eu", Slot: steer.Always, Point: frankfurt, Alias: pair, EvaluateTargetHealth: evaluate},
			{ID: "us", Slot: steer.Always, Point: ashburn},
		}})
		if got := order(tree, steer.Client{From: frankfurt}, down); got != want {
			t.Errorf("evaluate %v, down %v: %q, want %q", evaluate, down, got, want)
		}
	}
	f(true, board{}, "one two us")
	f(true, board{0: true}, "two us one?")
	f(true, board{0: true, 1: true}, "us one? two?")
	f(false, board{0: true, 1: true}, "one? two? us")
}

func TestGeolocationFallsOutward(t *testing.T) {
	members := []steer.Member{
		{ID: "ca", Slot: 0, Country: "US", Subdivision: "CA"}, {ID: "us", Slot: 1, Country: "US"},
		{ID: "na", Slot: 2, Continent: "NA"}, {ID: "rest", Slot: 3, Default: true}, {ID: "jp", Slot: 4, Country: "JP"},
	}
	tree := compile(t, &steer.Group{Policy: steer.Geolocation, Members: members})
	california := steer.Client{Place: geo.Place{Country: "US", Continent: "NA", Subdivision: "CA"}}
	for _, c := range []struct {
		down board
		want string
	}{
		{board{}, "ca us na rest"},
		{board{0: true, 2: true}, "us rest ca? na?"},
		{board{0: true, 1: true, 2: true, 3: true}, "ca? us? na? rest?"}, // all down: the smallest region's value
	} {
		if got := order(tree, california, c.down); got != c.want {
			t.Errorf("down %v: %q, want %q", c.down, got, c.want)
		}
	}
	nodefault := compile(t, &steer.Group{Policy: steer.Geolocation, Members: members[4:]})
	if _, ok := nodefault.Pick(&california, board{}); ok {
		t.Error("a client no member is for, and no default, must get nothing (NODATA)")
	}
}

func TestCIDRTakesTheLongestBlockOfWhatIsKnown(t *testing.T) {
	office, campus := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("198.51.0.0/16")
	tree := compile(t, &steer.Group{Policy: steer.CIDR, Members: []steer.Member{
		{ID: "office", Slot: 0, CIDRs: []netip.Prefix{office}}, {ID: "campus", Slot: 1, CIDRs: []netip.Prefix{campus}},
		{ID: "rest", Slot: 2, Default: true},
	}})
	f := func(addr string, bits int, want string) {
		t.Helper()
		if got := order(tree, steer.Client{Addr: netip.MustParseAddr(addr), Bits: bits}, board{}); got != want {
			t.Errorf("%s/%d: %q, want %q", addr, bits, got, want)
		}
	}
	f("198.51.100.7", 24, "office campus rest")
	f("198.51.7.7", 24, "campus rest")
	f("198.51.100.0", 20, "campus rest") // a block longer than the client's prefix does not match
	f("203.0.113.1", 0, "rest")
}

// Two clients inside one scope get the same answer (RFC 7871 section 7.2.1).
func TestScopesTile(t *testing.T) {
	tree := compile(t, &steer.Group{Policy: steer.CIDR, Members: []steer.Member{
		{ID: "a", Slot: 0, CIDRs: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
		{ID: "b", Slot: 1, CIDRs: []netip.Prefix{netip.MustParsePrefix("198.51.100.128/25"), netip.MustParsePrefix("198.48.0.0/12")}},
		{ID: "c", Slot: 2, Default: true},
	}})
	for third := range 256 {
		for _, fourth := range []byte{0, 127, 128, 255} {
			client := steer.Client{Addr: netip.AddrFrom4([4]byte{198, 51, byte(third), fourth})}
			scope := tree.Scope(&client)
			want := order(tree, client, board{})
			tile := netip.PrefixFrom(client.Addr, scope).Masked()
			for _, other := range []netip.Addr{tile.Addr(), lastOf(tile)} {
				if got := order(tree, steer.Client{Addr: other}, board{}); got != want {
					t.Fatalf("%v and %v share scope /%d but get %q and %q", client.Addr, other, scope, want, got)
				}
			}
		}
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

func TestCompileRefuses(t *testing.T) {
	loop := &steer.Group{Name: "a", Members: []steer.Member{{Alias: &steer.Group{Name: "b"}}}}
	loop.Members[0].Alias.Members = []steer.Member{{Alias: loop}}
	deep := &steer.Group{Name: "leaf", Members: []steer.Member{{}}}
	for range steer.MaxDepth {
		deep = &steer.Group{Name: "level", Members: []steer.Member{{Alias: deep}}}
	}
	for name, g := range map[string]*steer.Group{
		"no members": {Name: "empty"}, "alias loop": loop, "groups below each other": deep,
		"at most 256": {Name: "big", Members: make([]steer.Member, steer.MaxMembers+1)},
	} {
		_, err := steer.Compile(g)
		if !errors.Is(err, steer.ErrGroup) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestExplainTellsWhy(t *testing.T) {
	pair := &steer.Group{Name: "eu-pair", Policy: steer.Failover, Members: []steer.Member{{ID: "one", Slot: 0}, {ID: "two", Slot: 1}}}
	tree := compile(t, &steer.Group{Name: "www", Policy: steer.Latency, Members: []steer.Member{
		{ID: "eu", Slot: steer.Always, Point: frankfurt, Alias: pair, EvaluateTargetHealth: true},
		{ID: "us", Slot: 2, Point: ashburn, Leaf: 7},
	}})
	picks, trace := tree.Explain(&steer.Client{From: frankfurt}, board{0: true})
	if len(picks) != 3 || picks[0].ID != "two" {
		t.Fatalf("picks are %v", picks)
	}
	var lines []string
	for _, s := range trace {
		lines = append(lines, strings.TrimSpace(s.Group+" "+s.Member+" "+s.Result+": "+s.Detail))
	}
	want := []string{
		"www eu enter: 0 km, no check, target up",
		"eu-pair two chosen: up",
		"www us candidate: 6549 km, up",
		"eu-pair one last resort: down",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the trace is\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	tree, client := benchTree(t)
	picks := make([]steer.Pick, 0, 8)
	if n := testing.AllocsPerRun(100, func() { client.Random++; tree.Pick(&client, board(nil)) }); n != 0 {
		t.Errorf("a pick allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { picks = tree.Append(picks[:0], 8, &client, board(nil)) }); n != 0 {
		t.Errorf("eight picks allocate %v times", n)
	}
}

// benchTree has three levels and 100 leaves: latency over weighted over failover.
func benchTree(t testing.TB) (*steer.Tree, steer.Client) {
	root := &steer.Group{Policy: steer.Latency}
	for _, p := range []geo.Point{frankfurt, ashburn, tokyo, geo.At(-23.5, -46.6), geo.At(-33.9, 151.2)} {
		weighted := &steer.Group{Policy: steer.Weighted}
		for range 10 {
			pair := &steer.Group{Policy: steer.Failover, Members: []steer.Member{{ID: "one", Slot: 0}, {ID: "two", Slot: 1}}}
			weighted.Members = append(weighted.Members, steer.Member{Weight: 10, Slot: steer.Always, Alias: pair, EvaluateTargetHealth: true})
		}
		root.Members = append(root.Members, steer.Member{Point: p, Slot: steer.Always, Alias: weighted, EvaluateTargetHealth: true})
	}
	return compile(t, root), steer.Client{From: geo.At(51.5, -0.1)}
}

func BenchmarkPickTree(b *testing.B) {
	tree, client := benchTree(b)
	b.ReportAllocs()
	for b.Loop() {
		client.Random++
		tree.Pick(&client, board(nil))
	}
}

func BenchmarkPickFlat(b *testing.B) {
	tree := compile(b, &steer.Group{Policy: steer.Latency, Members: []steer.Member{
		{Slot: 0, Point: frankfurt}, {Slot: 1, Point: ashburn}, {Slot: 2, Point: tokyo},
	}})
	client := steer.Client{From: geo.At(51.5, -0.1)}
	b.ReportAllocs()
	for b.Loop() {
		tree.Pick(&client, board(nil))
	}
}
