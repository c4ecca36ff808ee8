package record

import "unsafe"

// alias makes a string of bytes without a copy of them (decision D1). The bytes of a record are never changed once it is written.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
