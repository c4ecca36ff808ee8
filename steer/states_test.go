package steer_test

import (
	"os"
	"strconv"
	"testing"
)

// states is how many states the tests against the reference models visit: MERIDIAN_STEER_STATES, or a number that suits every
// run. 1000000 takes about half a minute.
func states() int {
	if n, err := strconv.Atoi(os.Getenv("MERIDIAN_STEER_STATES")); err == nil {
		return n
	}
	if testing.Short() {
		return 5_000
	}
	return 25_000
}
