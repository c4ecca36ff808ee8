module github.com/meridian-edge/meridian/bench/cache

go 1.26.0

require (
	github.com/maypok86/otter/v2 v2.4.0
	github.com/meridian-edge/meridian v0.0.0
)

require github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect

replace github.com/meridian-edge/meridian => ../..
