package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/meridian-edge/meridian/cmd/meridian/demo"
)

func newDemo() *cobra.Command {
	var o demo.Options
	var debug bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Three origins, three edges and real clients on loopback: watch failures being steered around",
		Long: `Start three origins in three regions, three complete edges (HTTP/1.1, HTTP/2, HTTP/3 and DNS) and clients from
several countries, all on 127.0.0.0/8; then kill an origin, bring it back, and kill a whole edge. Every number shown
is measured on real sockets. No root, no network, no file outside a temporary folder; Ctrl-C cleans up.

It exits 0 only if its own objectives hold: no failed request through the loss of an origin and of an edge.`,
		Example: "  meridian demo\n  meridian demo --duration 20s --json     without a terminal: one JSON report",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Out = c.OutOrStdout()
			o.Terminal = !o.JSON && isTerminal(os.Stdout)
			o.Version = version()
			o.Log = slog.New(slog.DiscardHandler)
			if debug {
				o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
			}
			_, err := demo.Run(c.Context(), o)
			return err
		},
	}
	c.Flags().DurationVar(&o.Duration, "duration", 0, "stop by itself after this long (default: 60s, on a terminal until Ctrl-C)")
	c.Flags().BoolVar(&o.JSON, "json", false, "print nothing but one JSON report at the end")
	c.Flags().BoolVar(&o.Keep, "keep", false, "leave the folder with the three configurations behind")
	c.Flags().BoolVar(&debug, "debug", false, "write the nodes' logs to standard error")
	return c
}
