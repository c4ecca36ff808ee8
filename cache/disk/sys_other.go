//go:build !unix

package disk

import (
	"io/fs"
	"os"
)

// lockFile takes no lock: elsewhere two processes on one folder are the operator's to avoid.
func lockFile(*os.File) error { return nil }

// links is not known.
func links(fs.FileInfo) uint64 { return 1 }

// openLimit is a guess.
func openLimit() uint64 { return 1024 }
