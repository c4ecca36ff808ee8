// Command meridian runs an edge: a caching HTTP proxy, an authoritative DNS server and their health checks in one process.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/meridian-edge/meridian/cmd/meridian/demo"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/edge/admin"
)

// Exit codes; `meridian help exit-codes` prints them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitConfig      = 3
	exitCheck       = 4
	exitUnreachable = 5
	exitBusy        = 6
)

func main() { os.Exit(run(os.Args[1:])) }

// run is main with its exit code: tests call it.
func run(args []string) int {
	// The first signal ends ctx: drain, clean up. From then on signals have their default effect again, so a second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	// quic-go prints about small socket buffers through the global logger; the node logs what matters itself.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")

	root := newRoot()
	root.SuggestionsMinimumDistance = 2
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var mistakes config.Errors
	if errors.As(err, &mistakes) {
		mistakes.Print(os.Stderr)
		fmt.Fprintf(os.Stderr, "meridian: %s in %s\n", count(len(mistakes), "mistake"), mistakes[0].File)
		return exitConfig
	}
	fmt.Fprintf(os.Stderr, "meridian: %v\n", err)
	return exitCode(err)
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func exitCode(err error) int {
	var usage usageError
	var refused *admin.RemoteError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errConfig):
		return exitConfig
	case errors.Is(err, demo.ErrObjectives), errors.Is(err, errDelegation):
		return exitCheck
	case errors.Is(err, admin.ErrUnreachable):
		return exitUnreachable
	case errors.Is(err, edge.ErrListen):
		return exitBusy
	case errors.As(err, &refused) && len(refused.Items) > 0:
		return exitConfig
	}
	return exitFailure
}

// newRoot makes the command tree.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "meridian",
		Short: "An edge location in one binary: caching HTTP proxy, authoritative DNS, health checks",
		Long: `Meridian turns a host into an edge location: an HTTP/1.1, HTTP/2 and HTTP/3 caching proxy and an
authoritative DNS server with steering policies, with one health opinion behind both.`,
		Example: `  meridian demo                                   see it work, on loopback, in a minute
  meridian validate -c meridian.yaml              every mistake at once
  meridian run -c meridian.yaml                   serve
  meridian explain https://www.example.org/ --client 192.0.2.7`,
		SilenceUsage: true, SilenceErrors: true,
		Args: knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.PersistentFlags().StringP("config", "c", "", "configuration file (default $MERIDIAN_CONFIG, ./meridian.yaml, /etc/meridian/meridian.yaml)")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see `%s --help`)", err, c.CommandPath())}
	})
	root.AddCommand(newRun(), newValidate(), newDemo(), newExplain(), newPurge(), newPrefetch(), newReload(), newStatus(), newHealth(),
		newDrain(), newUndrain(), newDelegate(), newDNS(), newImport(), newVersion())
	root.AddCommand(helpTopics()...)
	for _, c := range root.Commands() {
		checkArgs(c)
	}
	return root
}

// knownCommand refuses words that are no command, with the nearest that is one.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "`meridian --help` lists them"
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %q?", near[0])
	}
	return usageError{fmt.Errorf("unknown command %q; %s", args[0], hint)}
}

// checkArgs makes wrong arguments a usage error.
func checkArgs(c *cobra.Command) {
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%w (see `%s --help`)", err, c.CommandPath())}
		}
		return nil
	}
}

// helpTopics are pages without a command: `meridian help TOPIC`.
func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What the exit codes mean", Long: `Exit codes of every command:

  0   done
  1   it failed while running; the message says why
  2   the command line is wrong
  3   the configuration is wrong, or was refused
  4   a check did not hold: the demo missed an objective, a delegation is not as it should be
  5   no node answers on the admin socket
  6   a socket cannot be had: the address or the lock is in use`},
		{Use: "signals", Short: "What signals do to a running node", Long: `Signals to ` + "`meridian run`" + `:

  HUP         read the configuration file and the certificates it names again; refused ones change nothing
  USR1        open the access log's file again, after log rotation has moved it
  TERM, INT   drain: DNS first, then finish requests (limits.drain_timeout), then exit 0
  a second    end at once

The configuration file is also read again when it changes on disk (see ` + "`meridian run --help`" + `).`},
	}
}
