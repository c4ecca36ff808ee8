package disk

import (
	"bytes"
	"io"
	"os"
)

// WriteFile is what a write needs of a file.
type WriteFile = file

// Intercept has every new file made by f, which is given the way it is made otherwise. It is called before Run.
func Intercept(t *Tier, f func(create func() (WriteFile, error)) (WriteFile, error)) {
	real := t.create
	t.create = func(dir *os.Root, name string) (file, error) {
		return f(func() (WriteFile, error) { return real(dir, name) })
	}
}

// Parse reads a whole file as the tier would, and returns what it found. It fails where the tier takes a file for damaged.
func Parse(b []byte) (key Key, variant uint64, meta, body []byte, err error) {
	r, meta, err := readRecord(bytes.NewReader(b), int64(len(b)), make([]byte, firstRead))
	if err != nil {
		return Key{}, 0, nil, nil, err
	}
	table, err := r.readTable(bytes.NewReader(b))
	for i := 0; err == nil && i < r.blocks(); i++ {
		_, n := r.block(i)
		block := make([]byte, n)
		err = r.readBlock(bytes.NewReader(b), table, i, block)
		body = append(body, block...)
	}
	return Key{Text: r.key, URL: r.url}, r.variant, meta, body, err
}

// Render makes a file.
func Render(item Item) []byte {
	w := &write{item: item}
	w.plan()
	r := w.record()
	r.serial = 1
	out := &memory{b: make([]byte, r.fileSize())}
	p := &pen{tier: &Tier{}, write: w, rec: r, out: out}
	p.tier.buffers.New = func() any { return new([blockSize]byte) }
	if err := p.all(); err != nil {
		panic(err)
	}
	return out.b
}

type memory struct{ b []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if n := copy(m.b[off:], p); n < len(p) {
		return n, io.ErrShortWrite
	}
	return len(p), nil
}

func (*memory) Close() error { return nil }

// ParseName tells whether a name is one of an object's file, and writes it again.
func ParseName(s string) (string, bool) {
	n, ok := parseName(s)
	return n.String(), ok
}
