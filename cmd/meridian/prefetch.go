package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/meridian-edge/meridian/edge/admin"
	"github.com/meridian-edge/meridian/proxy"
)

// prefetchOptions are the flags of `meridian prefetch`.
type prefetchOptions struct {
	file     string
	parallel int
	headers  []string
	asJSON   bool
}

// maxParallel is how many URLs may be fetched at a time: what is asked of an origin at once is for limits.origin_conns to say, and a socket's
// backlog has an end.
const maxParallel = 64

func newPrefetch() *cobra.Command {
	var o prefetchOptions
	c := &cobra.Command{
		Use:   "prefetch [URL...|-]",
		Short: "Fetch URLs into the cache of a running node before anybody asks for them",
		Long: `Make a running node fetch URLs as a client would, and keep what may be stored. What is fresh already is left alone, what is stale is
validated. Every URL must be served by a distribution of the node. Redirects are not followed.

--file reads a list, one URL a line, from a file or, as -, from standard input. Empty lines and what follows a # at the start of
a line or after a space do not count. A line that is no URL is reported with its number, and the others are fetched all the same.

--header sends a field along, for what the response depends on: each variant (Vary, key.headers) is an object of its own. In
a behavior with compress, Accept-Encoding makes the encoded form too.

The exit code is 0 when everything is in the cache, and 1 when something is not: a response that may not be stored, an error
of the origin, a status from 400 on, a bad line.`,
		Example: `  meridian prefetch https://www.example.org/ https://www.example.org/static/app.css
  meridian prefetch --file urls.txt --parallel 16
  meridian prefetch --file urls.txt --header 'Accept-Encoding: br' --header 'Accept-Language: de'
  grep -v '^#' urls.txt | meridian prefetch - --json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error { return runPrefetch(c, args, o) },
	}
	c.Flags().StringVar(&o.file, "file", "", "list of URLs, one a line; -: standard input")
	c.Flags().IntVar(&o.parallel, "parallel", 4, fmt.Sprintf("how many at a time, 1 to %d", maxParallel))
	c.Flags().StringArrayVar(&o.headers, "header", nil, "field of the requests, such as 'Accept-Encoding: br'; may be repeated")
	c.Flags().BoolVar(&o.asJSON, "json", false, "print a JSON object for each URL, one a line, in the order in which they are done")
	socketFlag(c)
	return c
}

func runPrefetch(c *cobra.Command, args []string, o prefetchOptions) error {
	fromArgs, err := o.check(args)
	if err != nil {
		return usageError{err}
	}
	client, err := nodeClient(c)
	if err != nil {
		return err
	}
	client = client.Patient()
	lists, total := []iter.Seq[listed]{fromArgs.each}, len(fromArgs)
	if len(fromArgs) < len(args) {
		o.file = "-"
	}
	if o.file != "" {
		list, size, done, err := openList(c.InOrStdin(), o.file)
		if err != nil {
			return err
		}
		defer done()
		if lists = append(lists, list); size < 0 {
			total = -1
		} else {
			total += size
		}
	}
	p := &prefetching{
		fetch: func(ctx context.Context, target string) (p proxy.Prefetched, err error) {
			query := url.Values{"url": {target}, "header": o.headers}
			err = client.Call(ctx, "POST", "/v1/prefetch", query, &p)
			return p, err
		},
		parallel: o.parallel, total: total, out: c.OutOrStdout(), notes: c.ErrOrStderr(), asJSON: o.asJSON, terminal: isTerminal(c.ErrOrStderr()),
	}
	return p.run(c.Context(), lists)
}

// check refuses a command line that cannot be carried out, and returns the URLs in it. There is one less than arguments when one is "-".
func (o *prefetchOptions) check(args []string) (urls, error) {
	var list urls
	stdin := o.file == "-"
	for _, arg := range args {
		if arg == "-" {
			if o.file != "" || stdin {
				return nil, errors.New("there is one list: - or --file")
			}
			stdin = true
			continue
		}
		if err := checkURL(arg); err != nil {
			return nil, err
		}
		list = append(list, arg)
	}
	switch {
	case len(args) == 0 && o.file == "":
		return nil, errors.New("say what to fetch: URLs, --file LIST, or - for a list on standard input (see `meridian prefetch --help`)")
	case o.parallel < 1 || o.parallel > maxParallel:
		return nil, fmt.Errorf("--parallel %d is not from 1 to %d", o.parallel, maxParallel)
	}
	if _, err := proxy.PrefetchFields(o.headers); err != nil {
		return nil, fmt.Errorf("--header %w", err)
	}
	return list, nil
}

// urls are those of the command line.
type urls []string

func (u urls) each(yield func(listed) bool) {
	for _, target := range u {
		if !yield(listed{url: target}) {
			return
		}
	}
}

// openList opens a list of URLs: a file, or in for "-". size is how many lines it has that count, -1 if that cannot be known before it is read.
func openList(in io.Reader, path string) (list iter.Seq[listed], size int, done func(), err error) {
	if path == "-" {
		return readList(in), -1, func() {}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, nil, err
	}
	done = func() { _ = f.Close() }
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return readList(f), -1, done, nil
	}
	for range readList(f) {
		size++
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		done()
		return nil, 0, nil, err
	}
	return readList(f), size, done, nil
}

// unreachable reports whether an error is about the node, and not about a URL.
func unreachable(err error) bool { return errors.Is(err, admin.ErrUnreachable) }
