package healthcheck_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
)

func Example() {
	origin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = origin.Close() }()

	board := healthcheck.NewBoard()
	checker := healthcheck.NewChecker(healthcheck.Options{Board: board})
	plan := healthcheck.NewPlan(&config.Config{
		Checks: []config.Check{{Name: "web", Type: "tcp", Interval: time.Second}},
		Pools: []config.Pool{{Name: "origins", Check: "web", Endpoints: []config.Endpoint{
			{Address: netip.MustParseAddrPort(origin.Addr().String())},
		}}},
	}, board)

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- checker.Run(ctx) }()
	checker.Apply(plan)
	if err := checker.Settled(ctx); err != nil {
		fmt.Println(err)
	}
	for _, v := range board.Verdicts() {
		fmt.Println(v.Names, v.State, board.Reach().Up(plan.Endpoint("origins", 0)))
	}
	cancel()
	fmt.Println(<-done)
	// Output:
	// [web] up true
	// <nil>
}
