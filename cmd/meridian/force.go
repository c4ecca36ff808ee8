package main

import (
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-edge/meridian/edge"
)

const targetHelp = `TARGET is an endpoint (192.0.2.1:80: at every check and in every pool), the name of a check (at every endpoint), or one
endpoint of a pool or accelerator (web/192.0.2.1:80). The word beats every probe, survives reloads and restarts, and ends by
itself with --for.`

func newForce() *cobra.Command {
	c := &cobra.Command{
		Use:   "force TARGET up|down|drain|clear",
		Short: "Say what counts as up or down, whatever the probes say",
		Long:  "Put an operator's word in force on a running node, or take it back with clear.\n\n" + targetHelp,
		Example: `  meridian health force 192.0.2.1:80 down --for 30m
  meridian health force edge-a up
  meridian health force edge-a clear`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error { return force(c, args[0], args[1]) },
	}
	forFlag(c)
	socketFlag(c)
	checkArgs(c)
	return c
}

func newDrain() *cobra.Command {
	c := &cobra.Command{
		Use:     "drain TARGET",
		Short:   "Send no new requests to an endpoint of a running node",
		Long:    "Make a target count as down on purpose: it gets no new requests and no new answers, and what is under way ends in peace.\nWhen everything that could take its place is down too, it is used all the same.\n\n" + targetHelp,
		Example: "  meridian drain 192.0.2.1:80 --for 2h\n  meridian drain web/192.0.2.1:80",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return force(c, args[0], "drain") },
	}
	forFlag(c)
	socketFlag(c)
	return c
}

func newUndrain() *cobra.Command {
	c := &cobra.Command{
		Use:     "undrain TARGET",
		Short:   "Take back a drain, or any other word about a target",
		Example: "  meridian undrain 192.0.2.1:80",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return force(c, args[0], "clear") },
	}
	socketFlag(c)
	return c
}

func forFlag(c *cobra.Command) {
	c.Flags().Duration("for", 0, "how long, such as 90s, 10m or 4h (default: until it is taken back)")
}

// force gives a node an operator's word.
func force(c *cobra.Command, target, state string) error {
	switch state {
	case "up", "down", "drain", "clear":
	default:
		return usageError{fmt.Errorf("state %q is none of up, down, drain, clear", state)}
	}
	query := url.Values{"target": {target}, "state": {state}}
	if f := c.Flags().Lookup("for"); f != nil && f.Changed {
		d, _ := c.Flags().GetDuration("for")
		if d <= 0 || state == "clear" {
			return usageError{fmt.Errorf("--for %s does not fit %s", d, state)}
		}
		query.Set("for", d.String())
	}
	client, err := nodeClient(c)
	if err != nil {
		return err
	}
	var o edge.Order
	if err := client.Call(c.Context(), "POST", "/v1/health/force", query, &o); err != nil {
		return err
	}
	text := o.Target + ": " + o.State
	switch {
	case o.State == "clear":
		text = o.Target + ": the probes decide again"
	case !o.Until.IsZero():
		text += " until " + o.Until.Local().Format(time.DateTime)
	default:
		text += " until it is taken back"
	}
	fmt.Fprintln(c.OutOrStdout(), text)
	return nil
}

func newAccept() *cobra.Command {
	c := &cobra.Command{
		Use:   "accept CHECK",
		Short: "Put an edited check in force that was refused, or is still tried",
		Long: `Put an edited check in force at once, whatever it takes down. An edited check runs in shadow first, and is refused when it would
take down more than max_flip of what is up; meridian health shows what it says about each endpoint.`,
		Example: "  meridian health accept web",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := nodeClient(c)
			if err != nil {
				return err
			}
			var done struct{ Check string }
			if err := client.Call(c.Context(), "POST", "/v1/health/accept", url.Values{"check": {args[0]}}, &done); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), done.Check+": the edited check decides from now on")
			return nil
		},
	}
	socketFlag(c)
	return c
}
