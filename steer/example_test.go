package steer_test

import (
	"fmt"
	"net/netip"

	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// A canary: a tenth of the flows stay in the nearest group, always the same ones.
func ExampleCompileAccelerator() {
	accelerator, err := steer.CompileAccelerator("game", steer.AffinitySource, []steer.EndpointGroup{
		{ID: "eu", Point: geo.At(50.1, 8.7), Dial: 10, Endpoints: []steer.GroupEndpoint{{ID: "192.0.2.1", Slot: steer.Always, Weight: 128}}},
		{ID: "us", Point: geo.At(39.0, -77.5), Dial: 100, Endpoints: []steer.GroupEndpoint{{ID: "203.0.113.1", Slot: steer.Always, Weight: 128}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	count := map[int]int{}
	for i := range 1000 {
		source := netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
		flow := steer.Flow{
			Protocol: 17, Source: netip.AddrPortFrom(source, 4711), Destination: netip.MustParseAddrPort("192.0.2.100:7000"),
			From: geo.At(51.5, -0.1),
		}
		count[accelerator.Pick(&flow, everythingUp{}).Group]++
	}
	fmt.Println(count[0] > 70 && count[0] < 130, count[0]+count[1])
	// Output: true 1000
}

// A hash pool keeps a tenant at one endpoint.
func ExampleCompile() {
	tree, err := steer.Compile(&steer.Group{Name: "pool app", Policy: steer.Hash, Members: []steer.Member{
		{ID: "a", Slot: steer.Always, Leaf: 0, Weight: 1}, {ID: "b", Slot: steer.Always, Leaf: 1, Weight: 1},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	first, _ := tree.Pick(&steer.Client{Hash: steer.HashString("tenant 7"), Random: 1}, everythingUp{})
	again, _ := tree.Pick(&steer.Client{Hash: steer.HashString("tenant 7"), Random: 2}, everythingUp{})
	fmt.Println(first.ID == again.ID)
	// Output: true
}

type everythingUp struct{}

func (everythingUp) Up(steer.Slot) bool { return true }
