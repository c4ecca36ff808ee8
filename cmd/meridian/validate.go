package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge"
)

func newValidate() *cobra.Command {
	var strict bool
	c := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Report every mistake in a configuration at once",
		Long: `Check a configuration file the way ` + "`meridian run`" + ` would, up to the point where sockets are opened: syntax, keys,
types, ranges, references, certificates, places, zones. Every mistake is reported in one run, with its place and a
remedy. Nothing is bound and nothing is contacted.`,
		Example: "  meridian validate meridian.yaml\n  meridian validate -c /etc/meridian/meridian.yaml --strict",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				if err := c.Flags().Set("config", args[0]); err != nil {
					return err
				}
			}
			cfg, warnings, err := loadConfig(c)
			if err != nil {
				return err
			}
			if _, err := edge.Preview(cfg, slog.New(slog.DiscardHandler)); err != nil {
				return buildError(err)
			}
			warnings.Print(c.ErrOrStderr())
			if strict && len(warnings) > 0 {
				return fmt.Errorf("%w: %d warnings, and --strict was given", errConfig, len(warnings))
			}
			fmt.Fprintln(c.OutOrStdout(), summary(cfg, len(warnings)))
			return nil
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "take warnings for mistakes")
	return c
}

// summary says in one line what a good configuration holds.
func summary(cfg *config.Config, warnings int) string {
	records := 0
	for i := range cfg.Zones {
		records += len(cfg.Zones[i].Records)
	}
	return fmt.Sprintf("%s is valid: %s, %s, %s with %s, %s, %s", cfg.File,
		count(len(cfg.Distributions), "distribution"), count(len(cfg.Pools), "pool"),
		count(len(cfg.Zones), "zone"), count(records, "record"), count(len(cfg.Checks), "check"), count(warnings, "warning"))
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
