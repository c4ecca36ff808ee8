//go:build !linux

package netio

import "syscall"

// sockets is one: elsewhere the last socket bound gets everything, or the choice is not by sender.
func sockets(int) int { return 1 }

func share(syscall.RawConn) error { return nil }

func neverFragment(syscall.RawConn) error { return nil }
