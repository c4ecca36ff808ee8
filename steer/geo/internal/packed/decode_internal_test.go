package packed

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// sample returns a small file, compressed and not.
func sample(t testing.TB) (file, raw []byte) {
	t.Helper()
	var out bytes.Buffer
	err := Encode(&out, Header{Source: "test"}, []Network{
		{netip.MustParsePrefix("10.0.0.0/8"), "a"},
		{netip.MustParsePrefix("192.0.2.1/32"), "b"},
		{netip.MustParsePrefix("2001:db8::/32"), "a"},
		{netip.MustParsePrefix("2001:db8::1/128"), "b"},
		{netip.MustParsePrefix("8000:0:0:1::/64"), "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	raw, err = io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), raw
}

func TestDecodeRefusesDamage(t *testing.T) {
	file, raw := sample(t)
	for i := range file {
		if _, err := Decode(file[:i]); err == nil {
			t.Errorf("the first %d bytes of %d decode", i, len(file))
		}
	}
	if _, err := Decode(append(slices.Clone(file), 0)); err == nil {
		t.Error("a file with a byte more decodes")
	}
	for i := range raw {
		if _, err := parse(raw[:i]); err == nil {
			t.Errorf("the first %d bytes of %d parse", i, len(raw))
		}
	}
	if _, err := parse(append(slices.Clone(raw), 0)); err == nil {
		t.Error("an uncompressed file with a byte more parses")
	}
}

func TestDecodeRefusesBomb(t *testing.T) {
	// Streams in a row expand to one file, and a short one is soon compressed.
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	bomb := bytes.Repeat(out.Bytes(), maxSize>>20+1)
	if _, err := Decode(bomb); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a file that expands beyond the limit: %v", err)
	}
}

// FuzzParse checks that a table that parses answers everything: the gzip checksum
// would keep a fuzzer away from the code under it, so it goes in below.
func FuzzParse(f *testing.F) {
	_, raw := sample(f)
	f.Add(raw)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		table, err := parse(raw)
		if err != nil {
			return
		}
		check := func(addr netip.Addr) {
			label, length := table.Lookup(addr)
			if int(label) >= len(table.labels) || length < 0 || length > addr.BitLen() {
				t.Fatalf("Lookup(%s) = %d, %d", addr, label, length)
			}
			// The prefix says the same at both ends.
			first, _ := addr.Prefix(length)
			if l, n := table.Lookup(first.Addr()); l != label || n != length {
				t.Fatalf("Lookup(%s) = %d, %d but its prefix's first address gives %d, %d", addr, label, length, l, n)
			}
		}
		for _, s := range []string{"0.0.0.0", "10.0.0.0", "192.0.2.1", "255.255.255.255", "::", "2001:db8::1", "2001:db8::2", "8000:0:0:1::", "ffff::"} {
			check(netip.MustParseAddr(s))
		}
	})
}
