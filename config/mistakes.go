package config

import "github.com/meridian-edge/meridian/internal/yamldoc"

// Mistake is one thing wrong in a configuration file. It is immutable once returned, and it never contains a value that
// came out of ${...}: such values are shown as the reference that was written. Its Error is one line with file, line, column
// and path; its Detail adds the source line, a caret under what is meant and a hint.
type Mistake = yamldoc.Mistake

// Severity says whether a Mistake refuses the configuration.
type Severity = yamldoc.Severity

// The two severities.
const (
	SeverityError   = yamldoc.SeverityError   // the configuration is refused
	SeverityWarning = yamldoc.SeverityWarning // legal, but probably not what was meant
)

// Errors is every mistake in a file, in the order of their positions. It is never empty when returned as an error. Print writes
// the full form of each.
type Errors = yamldoc.Errors

// Warnings is everything in a valid file that is legal but probably not what was meant, in the order of positions. Print writes
// the full form of each.
type Warnings = yamldoc.Warnings
