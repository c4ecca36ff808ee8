package steer

import (
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/steer/geo"
)

// AcceleratorOf compiles a configured accelerator. regions has the places of the region names; a group of a region it lacks has
// none. slot finds the health of an endpoint by the indices of its group and of itself; nil: endpoints have no checks.
func AcceleratorOf(a *config.Accelerator, regions map[string]geo.Point, slot func(group, endpoint int) Slot) (*Accelerator, error) {
	affinity := AffinityNone
	if a.Affinity == "source-ip" {
		affinity = AffinitySource
	}
	groups := make([]EndpointGroup, len(a.Groups))
	for i := range a.Groups {
		from := &a.Groups[i]
		g := EndpointGroup{ID: from.Region, Point: regions[from.Region], Dial: from.Dial}
		for j := range from.Endpoints {
			e := &from.Endpoints[j]
			to := GroupEndpoint{ID: e.Address.String(), Slot: Always, Weight: uint8(e.Weight)}
			if slot != nil {
				to.Slot = slot(i, j)
			}
			g.Endpoints = append(g.Endpoints, to)
		}
		groups[i] = g
	}
	return CompileAccelerator(a.Name, affinity, groups)
}
