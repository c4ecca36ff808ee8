package cache_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

type hello struct{}

func (hello) Fetch(context.Context, *httpwire.Head) (*httpwire.Response, error) {
	return &httpwire.Response{Status: 200, Length: 5, Body: io.NopCloser(strings.NewReader("hello")),
		Fields: httpwire.Fields{{ID: httpwire.CacheControl, Name: "Cache-Control", Value: "max-age=60"}}}, nil
}

func ExampleNew() {
	store := cache.New(cache.Options{Memory: 64 << 20, Node: "eu1"})
	defer store.Close()
	head := httpwire.Head{Method: "GET", Target: "/", Scheme: "https", Authority: "example.org"}
	canon, _ := httpwire.Canonicalize(&head)
	policy := &config.CachePolicy{KeyQuery: config.KeyPart{All: true}}
	for range 2 {
		resp, result, _ := store.Serve(context.Background(), &cache.Request{Site: "web", Head: &head, Canon: &canon, Policy: policy}, hello{})
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		result.TTL = result.TTL.Round(time.Minute)
		fmt.Printf("%s: %s\n", body, result.AppendStatus(nil, store.Node()))
	}
	// Output:
	// hello: eu1; fwd=miss; fwd-status=200; stored
	// hello: eu1; hit; ttl=60
}
