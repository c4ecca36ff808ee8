package edge

import (
	"context"
	"sync"
)

// runGroup runs the organs' loops and stops them together.
type runGroup struct {
	start func(loop func(context.Context) error) // runs a loop until stop; a loop that can fail reports it itself
	stop  func()                                 // ends every loop and waits for them
}

func newRunGroup() *runGroup {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	return &runGroup{
		start: func(loop func(context.Context) error) { wg.Go(func() { _ = loop(ctx) }) },
		stop:  func() { cancel(); wg.Wait() },
	}
}
