package main

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/purge"
)

// purgeOptions are the flags of `meridian purge`.
type purgeOptions struct {
	tag, host, distribution string
	all, soft, dryRun       bool
}

func newPurge() *cobra.Command {
	var o purgeOptions
	c := &cobra.Command{
		Use:   "purge [URL]",
		Short: "Take responses out of the cache of a running node: a URL, a prefix, a tag, a host, everything",
		Long: `Remove stored responses at once and for good: they are not served stale either. A URL means every variant of it, over http
and https; one that ends with * means everything below. A tag is a word of the Surrogate-Key or Cache-Tag field that the
origin sent. The order is on disk before it is acknowledged.

With --soft they become stale instead: they are validated before they are used again, may be served where stale ones may, and
the purge can be undone.`,
		Example: `  meridian purge http://www.example.org/static/app.css
  meridian purge 'https://www.example.org/images/*' --soft
  meridian purge --tag product-17
  meridian purge --host www.example.org --dry-run
  meridian purge --all --distribution shop
  meridian purge list
  meridian purge undo 12`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runPurge(c, args, o) },
	}
	c.Flags().StringVar(&o.tag, "tag", "", "every response that carries this tag")
	c.Flags().StringVar(&o.host, "host", "", "every URL of this host")
	c.Flags().BoolVar(&o.all, "all", false, "everything")
	c.Flags().StringVar(&o.distribution, "distribution", "", "with --tag, --host or --all: of this distribution only")
	c.Flags().BoolVar(&o.soft, "soft", false, "make them stale instead of removing them")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "count what would be hit, and change nothing")
	socketFlag(c)
	c.AddCommand(newPurgeList(), newPurgeUndo())
	return c
}

func runPurge(c *cobra.Command, args []string, o purgeOptions) error {
	query := url.Values{}
	given := 0
	for _, p := range []struct {
		key, value string
	}{{"tag", o.tag}, {"host", o.host}, {"url", argument(args)}} {
		if p.value != "" {
			query.Set(p.key, p.value)
			given++
		}
	}
	if o.all {
		query.Set("all", "1")
		given++
	}
	if given != 1 {
		return usageError{errors.New("say what to purge: one of a URL, --tag, --host and --all (see `meridian purge --help`)")}
	}
	if o.distribution != "" {
		query.Set("distribution", o.distribution)
	}
	if o.soft {
		query.Set("soft", "1")
	}
	if o.dryRun {
		query.Set("dry_run", "1")
	}
	client, err := nodeClient(c)
	if err != nil {
		return err
	}
	var r cache.Receipt
	if err := client.Call(c.Context(), "POST", "/v1/purge", query, &r); err != nil {
		return err
	}
	did := "purged"
	switch {
	case o.dryRun:
		did = "would purge"
	case o.soft:
		did = "made stale"
	}
	text := fmt.Sprintf("%s %s, %d bytes", did, count(r.Objects, "object"), r.Bytes)
	if r.Fills > 0 {
		text += fmt.Sprintf(", and %d under way", r.Fills)
	}
	if r.ID > 0 && o.soft {
		text += fmt.Sprintf("; `meridian purge undo %d` takes it back", r.ID)
	}
	fmt.Fprintln(c.OutOrStdout(), text)
	return nil
}

func argument(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func newPurgeList() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the purges that a running node remembers, newest first",
		Example: "  meridian purge list",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := nodeClient(c)
			if err != nil {
				return err
			}
			var orders []purge.Order
			if err := client.Call(c.Context(), "GET", "/v1/purges", nil, &orders); err != nil {
				return err
			}
			for i := range orders {
				o := &orders[i]
				text := o.String()
				if o.Undone {
					text += ", undone"
				}
				fmt.Fprintf(c.OutOrStdout(), "%s  %s\n", o.Time.Local().Format(time.DateTime), text)
			}
			return nil
		},
	}
	socketFlag(c)
	checkArgs(c)
	return c
}

func newPurgeUndo() *cobra.Command {
	c := &cobra.Command{
		Use:     "undo ID",
		Short:   "Take a soft purge back: what it made stale is as fresh as before",
		Example: "  meridian purge undo 12",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := strconv.ParseUint(args[0], 10, 64); err != nil {
				return usageError{fmt.Errorf("%q is not the number of a purge; `meridian purge list` shows them", args[0])}
			}
			client, err := nodeClient(c)
			if err != nil {
				return err
			}
			var o purge.Order
			if err := client.Call(c.Context(), "POST", "/v1/purges/undo", url.Values{"id": {args[0]}}, &o); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is undone\n", &o)
			return nil
		},
	}
	socketFlag(c)
	checkArgs(c)
	return c
}
