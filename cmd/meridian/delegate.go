package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"
	"github.com/spf13/cobra"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns/delegation"
	"github.com/meridian-edge/meridian/edge"
)

// errDelegation is a delegation that is not as it should be.
var errDelegation = errors.New("the delegation is not as it should be")

// delegateOptions are the flags of `meridian delegate`.
type delegateOptions struct {
	offline, asJSON bool
	resolver        string
	port            uint16
}

func newDelegate() *cobra.Command {
	var o delegateOptions
	c := &cobra.Command{
		Use:   "delegate ZONE",
		Short: "Print the records that delegate a zone to this edge, and check what its parent serves",
		Long: `Print the NS and glue records of a zone of the configuration, as they are to be pasted at the registrar or into the parent
zone. Then ask every server of the parent what it hands out, and every name server of the zone whether it serves it, and
name each difference with its remedy. Exit code 4 says that there are differences.`,
		Example: `  meridian delegate example.org -c meridian.yaml
  meridian delegate example.org --offline                  print the records, ask nobody
  meridian delegate example.org --resolver 192.0.2.53:53`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return delegate(c, args[0], o) },
	}
	c.Flags().BoolVar(&o.offline, "offline", false, "print the records and ask nobody")
	c.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	c.Flags().StringVar(&o.resolver, "resolver", "", "recursive resolver to ask (default: the configuration's resolvers, or those of /etc/resolv.conf)")
	c.Flags().Uint16Var(&o.port, "port", 53, "port of the name servers that are asked")
	return c
}

func delegate(c *cobra.Command, name string, o delegateOptions) error {
	cfg, _, err := loadConfig(c)
	if err != nil {
		return err
	}
	node, err := edge.Preview(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return buildError(err)
	}
	want, err := wantedDelegation(node, mdns.CanonicalName(name))
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	if !o.asJSON {
		fmt.Fprint(out, want.Text())
	}
	var report *delegation.Report
	if !o.offline {
		resolvers, err := resolversOf(cfg, o.resolver)
		if err != nil {
			return err
		}
		if report, err = delegation.Check(c.Context(), *want, delegation.Options{Resolvers: resolvers, Port: o.port}); err != nil {
			return err
		}
	}
	if o.asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err := e.Encode(map[string]any{"zone": want.Zone, "records": strings.Split(strings.TrimSuffix(want.Text(), "\n"), "\n"), "check": report})
		if err != nil {
			return err
		}
	} else if report != nil {
		printDelegation(out, want.Zone, report)
	}
	if report != nil && len(report.Problems) > 0 {
		return fmt.Errorf("%w: %s", errDelegation, count(len(report.Problems), "difference"))
	}
	return nil
}

// wantedDelegation reads the name servers of a zone, and the addresses of those inside it, from the answers that serve.
func wantedDelegation(node *edge.Node, zone string) (*delegation.Want, error) {
	ns, err := node.ExplainDNS(zone, "NS", netip.Addr{})
	if err != nil {
		return nil, err
	}
	w := &delegation.Want{Zone: zone}
	for _, rr := range parseRecords(ns.Answer) {
		if rr, ok := rr.(*mdns.NS); ok && mdns.CanonicalName(rr.Hdr.Name) == zone {
			w.Servers = append(w.Servers, delegation.Server{Name: mdns.CanonicalName(rr.Ns)})
		}
	}
	if len(w.Servers) == 0 {
		return nil, fmt.Errorf("%s is not a zone of this configuration; it has: %s", zone, strings.Join(node.Zones().Names(), " "))
	}
	slices.SortFunc(w.Servers, func(a, b delegation.Server) int { return strings.Compare(a.Name, b.Name) }) // answers rotate
	for i := range w.Servers {
		s := &w.Servers[i]
		if !mdns.IsSubDomain(zone, s.Name) {
			continue
		}
		for _, typ := range []string{"A", "AAAA"} {
			e, err := node.ExplainDNS(s.Name, typ, netip.Addr{})
			if err != nil {
				return nil, err
			}
			for _, rr := range parseRecords(e.Answer) {
				switch rr := rr.(type) {
				case *mdns.A:
					s.Addrs = appendAddr(s.Addrs, rr.A)
				case *mdns.AAAA:
					s.Addrs = appendAddr(s.Addrs, rr.AAAA)
				}
			}
		}
		if len(s.Addrs) == 0 {
			return nil, fmt.Errorf("name server %s lies in the zone and has no address there: nobody could reach it; add an A or AAAA record", s.Name)
		}
	}
	return w, nil
}

func appendAddr(list []netip.Addr, ip []byte) []netip.Addr {
	if a, ok := netip.AddrFromSlice(ip); ok {
		list = append(list, a.Unmap())
	}
	return list
}

// parseRecords reads records in presentation form; they come from our own answers.
func parseRecords(lines []string) []mdns.RR {
	var rrs []mdns.RR
	for _, line := range lines {
		if rr, err := mdns.NewRR(line); err == nil && rr != nil {
			rrs = append(rrs, rr)
		}
	}
	return rrs
}

// resolversOf are the resolvers to ask: the flag's, the configuration's or the system's.
func resolversOf(cfg *config.Config, flag string) ([]netip.AddrPort, error) {
	if flag != "" {
		if addr, err := netip.ParseAddr(flag); err == nil {
			return []netip.AddrPort{netip.AddrPortFrom(addr, 53)}, nil
		}
		addr, err := netip.ParseAddrPort(flag)
		if err != nil {
			return nil, usageError{fmt.Errorf("--resolver %q is no address such as 192.0.2.53 or 192.0.2.53:53", flag)}
		}
		return []netip.AddrPort{addr}, nil
	}
	if len(cfg.Resolvers) > 0 {
		return cfg.Resolvers, nil
	}
	file, err := os.Open("/etc/resolv.conf")
	if err != nil {
		return nil, fmt.Errorf("no resolver to ask: %w; name one with --resolver", err)
	}
	defer file.Close()
	var list []netip.AddrPort
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(words[1]); err == nil {
			list = append(list, netip.AddrPortFrom(addr, 53))
		}
	}
	if len(list) == 0 {
		return nil, errors.New("/etc/resolv.conf names no resolver; name one with --resolver")
	}
	return list, nil
}

// printDelegation prints what a check found.
func printDelegation(w io.Writer, zone string, r *delegation.Report) {
	fmt.Fprintf(w, "\nparent %s, asked %s\n", r.Parent, strings.Join(r.Asked, " "))
	for _, s := range r.Silent {
		fmt.Fprintf(w, "no answer from %s\n", s)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "%s: %s\n    %s\n", p.Server, p.Text, p.Remedy)
	}
	if len(r.Problems) == 0 {
		fmt.Fprintf(w, "the delegation of %s is as it should be\n", zone)
	}
}
