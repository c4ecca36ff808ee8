package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/edge/admin"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/proxy"
)

// explainOptions are the flags of `meridian explain`.
type explainOptions struct {
	client, qtype, method string
	offline, asJSON       bool
}

func newExplain() *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use:   "explain URL|NAME|CODE",
		Short: "Show why a request or a DNS question is answered the way it is",
		Long: `Walk the decision for a URL or a DNS name and print every step: which distribution and behavior, what the cache
holds, which endpoint and why not the others; which zone, record and answer.

The running node is asked over its admin socket, so the decision is its own, with its health and its cache. When no
node answers, the configuration is used alone, with every check counted as up, and that is said.

With an error code (E-ROUTE-NOHOST) it prints what the code means and what to do.`,
		Example: `  meridian explain https://www.example.org/static/app.css --client 192.0.2.7
  meridian explain www.example.org --client 2001:db8::1 --type AAAA
  meridian explain E-ROUTE-NOHOST`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return explain(c, args[0], o) },
	}
	c.Flags().StringVar(&o.client, "client", "", "address of the client that asks, or for a name its subnet (default: nobody in particular)")
	c.Flags().StringVar(&o.qtype, "type", "A", "type of the DNS question")
	c.Flags().StringVar(&o.method, "method", "GET", "method of the request")
	c.Flags().BoolVar(&o.offline, "offline", false, "do not ask the running node")
	c.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	socketFlag(c)
	return c
}

func explain(c *cobra.Command, subject string, o explainOptions) error {
	if strings.HasPrefix(strings.ToUpper(subject), "E-") && !strings.Contains(subject, ".") {
		return explainCode(c.OutOrStdout(), subject)
	}
	q := admin.Query{Method: strings.ToUpper(o.method), Type: strings.ToUpper(o.qtype)}
	if strings.Contains(subject, "/") {
		q.URL = subject
	} else {
		q.Name = subject
	}
	if o.client != "" {
		if err := q.SetClient(o.client); err != nil {
			return usageError{fmt.Errorf("--%w", err)}
		}
	}
	answer, err := ask(c, q, o.offline)
	if err != nil {
		return err
	}
	if o.asJSON {
		return printJSON(c.OutOrStdout(), answer)
	}
	switch a := answer.(type) {
	case *proxy.Explanation:
		printURL(c.OutOrStdout(), a)
	case *dns.Explanation:
		printName(c.OutOrStdout(), a)
	}
	return nil
}

func explainCode(w io.Writer, name string) error {
	code, ok := fault.Lookup(name)
	if !ok {
		var known []string
		for _, c := range fault.Codes() {
			known = append(known, string(c))
		}
		return usageError{fmt.Errorf("no code %q; there are %s", name, strings.Join(known, ", "))}
	}
	e := code.Entry()
	fmt.Fprintf(w, "%s  status %d, %s side\n  %s.\n  %s\n", code, e.Status, e.Side, e.Title, e.Remedy)
	return nil
}

// ask puts the question to the running node or, when there is none, to the configuration alone. The answer is a
// *proxy.Explanation or a *dns.Explanation.
func ask(c *cobra.Command, q admin.Query, offline bool) (any, error) {
	socket, _ := c.Flags().GetString("socket")
	var cfg *config.Config
	if socket == "" || offline {
		var err error
		if cfg, err = nodeConfig(c); err != nil {
			return nil, err
		}
	}
	if !offline {
		answer, err := askNode(c.Context(), socket, cfg, q)
		if err == nil || cfg == nil || !errors.Is(err, admin.ErrUnreachable) {
			return answer, err
		}
		fmt.Fprintf(c.ErrOrStderr(), "note: %v; decided from the configuration alone, with every check counted as up\n", err)
	}
	node, err := edge.Preview(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, buildError(err)
	}
	if q.URL != "" {
		e := node.ExplainURL(q.Method, q.URL, q.Client)
		return &e, nil
	}
	if q.Subnet.IsValid() {
		return node.ExplainSubnet(q.Name, q.Type, q.Subnet)
	}
	return node.ExplainDNS(q.Name, q.Type, q.Client)
}

func askNode(ctx context.Context, socket string, cfg *config.Config, q admin.Query) (any, error) {
	client := admin.NewClient(socket)
	if socket == "" {
		var err error
		if client, err = clientOf(cfg); err != nil {
			return nil, err
		}
	}
	query := url.Values{"method": {q.Method}}
	switch {
	case q.Subnet.IsValid():
		query.Set("client", q.Subnet.String())
	case q.Client.IsValid():
		query.Set("client", q.Client.String())
	}
	var answer any = &dns.Explanation{}
	if q.URL != "" {
		answer = &proxy.Explanation{}
		query.Set("url", q.URL)
	} else {
		query.Set("name", q.Name)
		query.Set("type", q.Type)
	}
	return answer, client.Call(ctx, "GET", "/v1/explain", query, answer)
}
