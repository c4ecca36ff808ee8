SHELL := /bin/bash
.DEFAULT_GOAL := help
# T is the time for each fuzz target, COUNT the repetitions of each benchmark.
T ?= 10s
COUNT ?= 6

.PHONY: help build check fmt vet lint arch test race bench fuzz cover demo validate ci clean bench-dns bench-cache

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

build: ## Build ./meridian, static and reproducible; its version is the commit
	CGO_ENABLED=0 go build -trimpath -o meridian ./cmd/meridian

check: fmt vet lint arch race ## Everything to run before a commit

fmt: ## Fail if a file is not formatted, and list it
	@files=$$(gofmt -l .); if [[ -n $$files ]]; then echo "run gofmt -w on:"; echo "$$files"; exit 1; fi

vet: ## go vet
	go vet ./...

lint: ## staticcheck, pinned in tools/go.mod; golangci-lint too if it is installed
	go tool -modfile=tools/go.mod staticcheck ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed: skipped"; fi

arch: ## The laws of the house: who imports whom, and habits
	go test ./internal/arch

test: ## All tests
	go test ./...

race: ## All tests with the race detector, in random order
	go test -race -shuffle=on ./...

bench: ## Benchmarks, COUNT=6 times each, for benchstat
	go test -run '^$$' -bench . -benchmem -count=$(COUNT) ./...

bench-cache: ## what caches evict, next to otter, LRU, golang-lru and the limit
	cd bench/cache && go run . >RESULTS.md && cat RESULTS.md

bench-dns: ## DNS side by side with Knot, NSD, BIND, gdnsd and CoreDNS; BENCH_DNS holds flags for bench/dns
	@bin=$$(mktemp -d) && trap 'rm -rf "$$bin"' EXIT && \
	CGO_ENABLED=0 go build -trimpath -o "$$bin" ./cmd/meridian ./bench/dns && \
	"$$bin/dns" -meridian "$$bin/meridian" -out bench/dns/RESULTS.md $(BENCH_DNS) && cat bench/dns/RESULTS.md

fuzz: ## Every fuzz target for T=30s each
	.ci/fuzz $(T)

cover: ## Coverage of every package, and cover.out for go tool cover -html
	go test -coverprofile=cover.out -coverpkg=./... ./...
	@go tool cover -func=cover.out | tail -n 1

demo: ## Three origins, three edges and clients on this machine; nothing else is needed
	go run ./cmd/meridian demo

validate: ## Validate the example configurations; broken.yaml shows what mistakes look like
	@go build -o meridian ./cmd/meridian
	@for f in deploy/examples/*.yaml; do echo "$$f"; ./meridian validate "$$f" || [[ $$? == 3 && $$f == */broken.yaml ]] || exit 1; done

ci: ## All of it, as the project's own checks run it
	.ci/run

clean: ## Remove what was built
	rm -f meridian cover.out
	go clean -testcache
