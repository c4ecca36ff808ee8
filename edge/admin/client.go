package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// ErrUnreachable is wrapped by calls that found no node behind the socket.
var ErrUnreachable = errors.New("no node answers")

// Client calls the admin API of a node. It is safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client for the node whose admin socket has this path. It connects on the first call.
func NewClient(socket string) *Client {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	return &Client{socket: socket, http: &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
		},
	}}
}

// Patient returns a client of the same node whose calls take as long as the node does: only their contexts end them.
func (c *Client) Patient() *Client {
	patient := *c.http
	patient.Timeout = 0
	return &Client{socket: c.socket, http: &patient}
}

// RemoteError is a node's own refusal.
type RemoteError struct{ Failure }

func (e *RemoteError) Error() string { return e.Failure.Error }

// maxAnswer bounds what a client reads from a node.
const maxAnswer = 16 << 20

// Call sends one request and decodes the answer into out, which may be nil. It fails with ErrUnreachable when no node
// answers, and with a RemoteError when the node refuses.
func (c *Client) Call(ctx context.Context, method, path string, query url.Values, out any) error {
	target := url.URL{Scheme: "http", Host: Host, Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return fmt.Errorf("%w on %s: %w", ErrUnreachable, c.socket, op.Err)
		}
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		failed := &RemoteError{}
		if err := json.Unmarshal(body, &failed.Failure); err != nil {
			return fmt.Errorf("the node answered %s", response.Status)
		}
		return failed
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}
