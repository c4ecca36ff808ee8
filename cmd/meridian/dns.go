package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	mdns "github.com/miekg/dns"
	"github.com/spf13/cobra"

	"github.com/meridian-edge/meridian/dns/zone"
)

// newDNS gathers what is about zones.
func newDNS() *cobra.Command {
	c := &cobra.Command{
		Use:   "dns",
		Short: "Explain answers, check delegations, read zone files",
		Args:  knownCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newDNSExplain(), newDelegate(), newImport())
	for _, sub := range c.Commands() {
		checkArgs(sub)
	}
	return c
}

func newDNSExplain() *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:   "explain NAME [TYPE]",
		Short: "Show why a DNS question is answered the way it is",
		Long: `As ` + "`meridian explain NAME`" + `: every step from the zone to the answer, with the policies' candidates and the health behind them.
--client takes an address or, as EDNS Client Subnet has it, a subnet.`,
		Example: `  meridian dns explain www.example.org
  meridian dns explain www.example.org AAAA --client 2001:db8::/48`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			o.qtype = "A"
			if len(args) == 2 {
				o.qtype = args[1]
			}
			if strings.Contains(args[0], "/") {
				return usageError{fmt.Errorf("%q is no name; `meridian explain URL` explains requests", args[0])}
			}
			return explain(c, args[0], o)
		},
	}
	c.Flags().StringVar(&o.client, "client", "", "address of the client that asks, or its subnet (default: nobody in particular)")
	c.Flags().BoolVar(&o.offline, "offline", false, "do not ask the running node")
	c.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	socketFlag(c)
	return c
}

// importOptions are the flags of `meridian import`.
type importOptions struct{ origin, format string }

func newImport() *cobra.Command {
	var o importOptions
	c := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Read a zone file: every mistake in it, and the zone in one plain form",
		Long: `Read zone text as the node would ($INCLUDE, $GENERATE, every record type), and report every mistake and every doubt with file,
line and remedy. What is good is printed as plain zone text, one record a line, or with --format config as a zones section of
meridian.yaml. Exit code 3 says that there are mistakes.`,
		Example: `  meridian import example.org.zone
  meridian import db.example --origin example.org > example.org.zone
  meridian import example.org.zone --format config >> meridian.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return importZone(c, args[0], o) },
	}
	c.Flags().StringVar(&o.origin, "origin", "", "name of the zone (default: that of its SOA record, else the file's name without its extension)")
	c.Flags().StringVar(&o.format, "format", "zone", "what to print: zone or config")
	return c
}

func importZone(c *cobra.Command, path string, o importOptions) error {
	if o.format != "zone" && o.format != "config" {
		return usageError{fmt.Errorf("--format %q is none of zone, config", o.format)}
	}
	if o.origin == "" && path == "-" {
		return usageError{errors.New("--origin is needed for a zone from standard input")}
	}
	text, root, err := readZoneText(c.InOrStdin(), path)
	if err != nil {
		return err
	}
	if root != nil {
		defer root.Close()
	}
	if o.origin == "" {
		o.origin = zoneName(text, strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
	}
	origin, err := zone.ParseName(o.origin)
	if err != nil {
		return usageError{fmt.Errorf("--origin: %w", err)}
	}
	data, problems, err := zone.Parse(text, zone.ParseOptions{Origin: origin, File: filepath.Base(path), Root: root})
	if data != nil {
		problems = append(problems, zone.Check(data)...)
	}
	mistakes := 0
	for i := range problems {
		p := &problems[i]
		word := "warning"
		if p.Severity == zone.Error {
			word = "mistake"
			mistakes++
		}
		fmt.Fprintf(c.ErrOrStderr(), "%s: %s\n", word, p.Error())
	}
	switch {
	case mistakes > 0:
		return fmt.Errorf("%w: %s in %s", errConfig, count(mistakes, "mistake"), path)
	case err != nil:
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	if o.format == "config" {
		return writeZoneConfig(c.OutOrStdout(), data)
	}
	return zone.Write(c.OutOrStdout(), data)
}

// zoneName is the owner of the SOA record that a zone's text begins with: files are not always called after their zone, and say $ORIGIN then.
// Without such a record it is name.
func zoneName(text []byte, name string) string {
	if rr, ok := mdns.NewZoneParser(bytes.NewReader(text), mdns.Fqdn(name), "").Next(); ok && rr.Header().Rrtype == mdns.TypeSOA {
		return rr.Header().Name
	}
	return name
}

// maxZoneText is the longest zone text that is read from standard input or a file here.
const maxZoneText = 1 << 30

func readZoneText(in io.Reader, path string) ([]byte, *os.Root, error) {
	if path == "-" {
		text, err := io.ReadAll(io.LimitReader(in, maxZoneText))
		return text, nil, err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, nil, err
	}
	file, err := root.Open(filepath.Base(path))
	if err != nil {
		root.Close()
		return nil, nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxZoneText))
	if err != nil {
		root.Close()
		return nil, nil, err
	}
	return text, root, nil
}

// writeZoneConfig writes a zone as a section of the configuration. Its SOA is made from the zone's keys there, so only the numbers
// that have a key are kept.
func writeZoneConfig(out io.Writer, data *zone.Data) error {
	w := bufio.NewWriter(out)
	origin := zone.NameText(data.Origin())
	soa := mdns.SOA{}
	if rr, err := (zone.Record{Name: data.Origin(), Type: mdns.TypeSOA, RData: data.Find(data.Origin(), mdns.TypeSOA).First()}).RR(); err == nil {
		soa = *rr.(*mdns.SOA)
	}
	fmt.Fprintf(w, "zones:\n  %q:\n    hostmaster: %q\n    negative_ttl: %ds\n    nameservers: [", origin, soa.Mbox, soa.Minttl)
	for i, ns := range rdataTexts(data.Find(data.Origin(), mdns.TypeNS)) {
		if i > 0 {
			fmt.Fprint(w, ", ")
		}
		fmt.Fprintf(w, "%q", ns)
	}
	fmt.Fprint(w, "]\n    records:\n")
	for s := range data.Sets() {
		if string(s.Name) == string(data.Origin()) && (s.Type == mdns.TypeSOA || s.Type == mdns.TypeNS) {
			continue
		}
		fmt.Fprintf(w, "      - {name: %q, type: %s, ttl: %ds, values: [", zone.NameText(s.Name), mdns.Type(s.Type), s.TTL)
		for i, text := range rdataTexts(s) {
			if i > 0 {
				fmt.Fprint(w, ", ")
			}
			fmt.Fprintf(w, "'%s'", strings.ReplaceAll(text, "'", "''"))
		}
		fmt.Fprint(w, "]}\n")
	}
	return w.Flush()
}

// rdataTexts is the data of each record of a set in presentation form.
func rdataTexts(s zone.Set) []string {
	var texts []string
	for data := range s.RData() {
		r := zone.Record{Name: s.Name, Type: s.Type, TTL: s.TTL, RData: data}
		fields := strings.SplitN(strings.TrimSpace(string(zone.AppendText(nil, r))), "\t", 5)
		texts = append(texts, fields[len(fields)-1])
	}
	return texts
}
