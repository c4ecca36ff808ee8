package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Key is what an object is stored under.
type Key struct {
	Text string // any bytes, at most 64 KiB
	URL  int    // length of the part of Text that all keys of one URL begin with; they can be removed together
}

func (k Key) valid() bool { return len(k.Text) <= maxKey && k.URL >= 0 && k.URL <= len(k.Text) }

// name is the name of a file, and all that the index knows of an object. The first two hashes are SHA-256, cut short: two keys that
// share a name push each other out, and are told apart by what is in the file. All files of a URL are in one directory.
type name struct {
	url, key, variant uint64
	pages             uint32 // the size of the file, rounded up
}

const (
	nameSize    = 3*17 + 8
	temporary   = "tmp-" // the names of files that are not complete begin so
	directories = 256
)

// hash is the first eight bytes of SHA-256, and never 0.
func hash(text string) uint64 {
	var room [512]byte
	sum := sha256.Sum256(append(room[:0], text...)) // on the stack, unless it is long
	return max(binary.BigEndian.Uint64(sum[:]), 1)
}

// nameOf is the name of an object without its size.
func nameOf(k Key, variant uint64) name {
	return name{url: hash(k.Text[:k.URL]), key: hash(k.Text), variant: variant}
}

// bare is the name without the size: there is at most one object with it.
func (n name) bare() name {
	n.pages = 0
	return n
}

// dir is the number of the directory.
func (n name) dir() int { return int(n.url >> 56) }

func (n name) bytes() int64 { return int64(n.pages) * pageSize }

// String is the name of the file.
func (n name) String() string {
	b := make([]byte, 0, nameSize)
	for _, v := range [...]uint64{n.url, n.key, n.variant} {
		b = append(hex.AppendEncode(b, binary.BigEndian.AppendUint64(nil, v)), '-')
	}
	return string(hex.AppendEncode(b, binary.BigEndian.AppendUint32(nil, n.pages)))
}

// parseName is the opposite of String.
func parseName(s string) (n name, ok bool) {
	if len(s) != nameSize || s[16] != '-' || s[33] != '-' || s[50] != '-' {
		return n, false
	}
	for i, v := range [...]*uint64{&n.url, &n.key, &n.variant} {
		if *v, ok = parseHex(s[17*i : 17*i+16]); !ok {
			return n, false
		}
	}
	pages, ok := parseHex(s[51:])
	n.pages = uint32(pages)
	return n, ok
}

// parseHex reads lower-case digits.
func parseHex(s string) (v uint64, ok bool) {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// dirName is the name of a directory of objects.
func dirName(i int) string { return hex.EncodeToString([]byte{byte(i)}) }
