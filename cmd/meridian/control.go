package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/edge/admin"
)

// socketFlag adds --socket to a command that talks to a running node.
func socketFlag(c *cobra.Command) {
	c.Flags().String("socket", "", "admin socket of the node (default: the one the configuration names)")
}

// nodeClient returns a client for the node that --socket or the configuration names.
func nodeClient(c *cobra.Command) (*admin.Client, error) {
	if path, _ := c.Flags().GetString("socket"); path != "" {
		return admin.NewClient(path), nil
	}
	cfg, err := nodeConfig(c)
	if err != nil {
		return nil, err
	}
	return clientOf(cfg)
}

// nodeConfig loads the configuration to find a node by. A node outlives a file with mistakes, so the way to it is named then.
func nodeConfig(c *cobra.Command) (*config.Config, error) {
	cfg, _, err := loadConfig(c)
	var mistakes config.Errors
	if errors.As(err, &mistakes) {
		fmt.Fprintln(c.ErrOrStderr(), "note: the file that names the node's admin socket cannot be used; --socket PATH reaches the node without it")
	}
	return cfg, err
}

func clientOf(cfg *config.Config) (*admin.Client, error) {
	if len(cfg.Listeners.Admin) == 0 {
		return nil, fmt.Errorf("%w: %s has no listeners.admin; add `admin: [\"unix:./admin.sock\"]`", admin.ErrUnreachable, cfg.File)
	}
	return admin.NewClient(cfg.Listeners.Admin[0]), nil
}

func newReload() *cobra.Command {
	var zone string
	c := &cobra.Command{
		Use:   "reload",
		Short: "Make a running node read its configuration again, and say how that went",
		Long: `Like SIGHUP, but waits for the result: 0 when the new configuration serves or nothing changed, 3 when it was refused. Zone files that
have changed are read too. With --zone only the file of that zone is: with thousands of zones that is much quicker.`,
		Example: "  meridian reload -c meridian.yaml\n  meridian reload --zone example.org",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := nodeClient(c)
			if err != nil {
				return err
			}
			var done struct{ Generation uint64 }
			err = client.Call(c.Context(), "POST", "/v1/reload", url.Values{"zone": {zone}}, &done)
			var refused *admin.RemoteError
			if errors.As(err, &refused) {
				if refused.Error() == edge.ErrUnchanged.Error() {
					fmt.Fprintln(c.OutOrStdout(), refused.Error())
					return nil
				}
				for _, item := range refused.Items {
					fmt.Fprint(c.ErrOrStderr(), item)
				}
				if len(refused.Items) > 0 {
					return fmt.Errorf("%w: %s; the last good one keeps serving", errConfig, count(len(refused.Items), "mistake"))
				}
				if zone != "" {
					return fmt.Errorf("%w: %w", errConfig, err)
				}
			}
			if err != nil {
				return err
			}
			if zone != "" {
				fmt.Fprintf(c.OutOrStdout(), "zone %s serves as its file has it\n", zone)
				return nil
			}
			fmt.Fprintf(c.OutOrStdout(), "generation %d serves\n", done.Generation)
			return nil
		},
	}
	c.Flags().StringVar(&zone, "zone", "", "read only the zone file of this zone")
	socketFlag(c)
	return c
}

func newStatus() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "status",
		Short:   "Show a running node on one page",
		Example: "  meridian status -c meridian.yaml\n  meridian status --socket state/admin.sock --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := nodeClient(c)
			if err != nil {
				return err
			}
			var s edge.Status
			if err := client.Call(c.Context(), "GET", "/v1/status", nil, &s); err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), s)
			}
			return printStatus(c.OutOrStdout(), &s)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	socketFlag(c)
	return c
}

func printStatus(w io.Writer, s *edge.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	name := s.Edge
	if s.Region != "" {
		name += " " + s.Region
	}
	row("edge", "%s, %s for %s (version %s)", name, s.State, time.Since(s.Started).Round(time.Second), s.Version)
	row("config", "%s, generation %d, loaded %s", s.Config, s.Generation, s.Loaded.Local().Format(time.DateTime))
	if s.LastError != "" {
		row("refused", "the last reload: %s", s.LastError)
	}
	row("checks", "%d up, %d down", s.ChecksUp, s.ChecksDown)
	for _, e := range s.Edits {
		row("edited check", "%s", e)
	}
	row("cache", "%s, %.1f MiB", count(int(s.CacheCount), "object"), float64(s.CacheBytes)/(1<<20))
	if d := s.Disk; d != nil {
		note := ""
		if d.Listing {
			note += ", still being listed"
		}
		if d.Queued > 0 {
			note += fmt.Sprintf(", %d waiting to be written", d.Queued)
		}
		if d.Failing != "" {
			note += ", nothing is written: " + d.Failing
		}
		row("disk", "%s, %.1f of %.1f MiB in %s%s", count(d.Objects, "object"), float64(d.Bytes)/(1<<20), float64(d.Limit)/(1<<20), d.Path, note)
	}
	row("places", "%s of %s", s.Places, s.PlacesBuilt.Format(time.DateOnly))
	for _, d := range s.Discovery {
		note := ""
		if d.Held > 0 {
			note += fmt.Sprintf(", %d of them held", d.Held)
		}
		if d.Old || d.Restored {
			note += ", found " + d.LastGood.Local().Format(time.DateTime) + " and not confirmed since"
		}
		if d.Failure != "" {
			note += ", last look failed: " + d.Failure
		}
		row("discovery", "pool %s, %s: %d endpoints%s", d.Pool, d.Source, d.Endpoints, note)
	}
	for _, l := range s.Listeners {
		row("listens", "%s", l)
	}
	if s.Abstains != "" {
		row("votes", "withheld: %s", s.Abstains)
	}
	for _, gap := range s.Unserved {
		row("not served", "%s", gap)
	}
	return t.Flush()
}

func newHealth() *cobra.Command {
	var asJSON, votes bool
	c := &cobra.Command{
		Use:     "health",
		Short:   "Show every health verdict of a running node, with its reason",
		Example: "  meridian health -c meridian.yaml\n  meridian health force 192.0.2.1:80 down --for 30m",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := nodeClient(c)
			if err != nil {
				return err
			}
			var list []edge.Verdict
			if err := client.Call(c.Context(), "GET", "/v1/health", nil, &list); err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), list)
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "STATE\tENDPOINT\tCHECKS\tSINCE\tREASON")
			for _, v := range list {
				who := strings.Join(v.Checks, ",")
				state, reason := v.State, v.Reason
				if v.Edit != "" {
					state = v.Edit + " " + v.State
					reason = fmt.Sprintf("edited check; the one that decides says %s: %s", v.Now, v.Reason)
				} else if v.Pool != "" {
					who = "pool " + v.Pool
					if v.Group != "" {
						who = "accelerator " + v.Pool + "/" + v.Group
					}
				} else if o := v.Votes; o != nil && o.Alive != o.Reach {
					reason += "; the fleet says " + o.Alive + " (" + o.Count + ")"
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", state, v.Endpoint, who, v.Since.Local().Format(time.TimeOnly), reason)
				if votes && v.Votes != nil {
					fmt.Fprintf(t, "\t\t\t\t%s\n", printedVotes(v.Votes))
				}
			}
			return t.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&votes, "votes", false, "show what the fleet believes, and who voted what")
	socketFlag(c)
	c.AddCommand(newForce(), newAccept())
	return c
}

// printedVotes is the fleet's opinion in one line.
func printedVotes(v *edge.Votes) string {
	text := "alive " + v.Alive + ", " + v.Count
	for _, voter := range v.Voters {
		text += "; " + voter.Voter
		if voter.Region != "" {
			text += " (" + voter.Region + ")"
		}
		text += " " + voter.State
		if voter.Expired {
			text += ", expired"
		}
	}
	return text
}
