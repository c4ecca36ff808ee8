package proxyproto_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/meridian-edge/meridian/internal/proxyproto"
)

const (
	sig   = "\r\n\r\n\x00\r\nQUIT\n"
	four  = "\xc0\x00\x02\x01\xc0\x00\x02\x02\x30\x39\x00\x35" // 192.0.2.1:12345 to 192.0.2.2:53
	six   = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x30\x39\x00\x35"
	typed = "\x04\x00\x03abc" // PP2_TYPE_NOOP
)

func header(command, family byte, body string) string {
	b := append([]byte(sig), command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return string(b) + body
}

// summed is a header with a right checksum in it.
func summed(body string) string {
	h := []byte(header(0x21, 0x11, body+"\x03\x00\x04\x00\x00\x00\x00"))
	binary.BigEndian.PutUint32(h[len(h)-4:], crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
	return string(h)
}

// TestL05Headers: each header says who the client is, or is refused; after a header comes what came after it.
func TestL05Headers(t *testing.T) {
	for _, test := range []struct{ name, in, want, fails string }{
		{"stream over IPv4", header(0x21, 0x11, four), "192.0.2.1:12345", ""},
		{"datagram over IPv4", header(0x21, 0x12, four), "192.0.2.1:12345", ""},
		{"stream over IPv6", header(0x21, 0x21, six), "[2001:db8::1]:12345", ""},
		{"datagram over IPv6", header(0x21, 0x22, six), "[2001:db8::1]:12345", ""},
		{"mapped address", header(0x21, 0x21, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01"+six[16:]), "192.0.2.1:12345", ""},
		{"values", header(0x21, 0x11, four+typed+typed), "192.0.2.1:12345", ""},
		{"checksum", summed(four + typed), "192.0.2.1:12345", ""},
		{"local", header(0x20, 0, ""), "invalid AddrPort", ""},
		{"local with addresses", header(0x20, 0x11, four), "invalid AddrPort", ""},
		{"local with half an address", header(0x20, 0x11, four[:3]), "invalid AddrPort", ""},
		{"unspecified", header(0x21, 0, ""), "invalid AddrPort", ""},
		{"unspecified with values", header(0x21, 0, typed), "invalid AddrPort", ""},
		{"unix socket", header(0x21, 0x31, strings.Repeat("x", 216)), "", "family 3"},
		{"unknown family", header(0x21, 0x41, four), "", "family 4"},
		{"unknown transport", header(0x21, 0x13, four), "", "transport 3"},
		{"address without transport", header(0x21, 0x10, four), "", "without a transport"},
		{"unknown command", header(0x22, 0x11, four), "", "command 2"},
		{"version 1 in binary", header(0x11, 0x11, four), "", "version 1"},
		{"version 3", header(0x31, 0x11, four), "", "version 3"},
		{"addresses too short", header(0x21, 0x11, four[:11]), "", "12 octets in 11"},
		{"addresses of the other family", header(0x21, 0x21, four), "", "36 octets in 12"},
		{"too long", header(0x21, 0x11, four+strings.Repeat("x", proxyproto.MaxLen)), "", "more than 4096"},
		{"value cut off", header(0x21, 0x11, four+"\x04\x00"), "", "cut off"},
		{"value that lies", header(0x21, 0x11, four+"\x04\x00\x04abc"), "", "4 octets is cut off"},
		{"short checksum", header(0x21, 0x11, four+"\x03\x00\x03abc"), "", "checksum of 3"},
		{"wrong checksum", header(0x21, 0x11, four+"\x03\x00\x04abcd"), "", "checksum is wrong"},
		{"text form", "PROXY TCP4 192.0.2.1 192.0.2.2 12345 53\r\n", "", "no PROXY"},
		{"a query", strings.Repeat("\x00\x1d", 20), "", "no PROXY"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := test.in + "after"
			src, n, err := proxyproto.Parse([]byte(in))
			r := iotest.OneByteReader(strings.NewReader(in))
			read, readErr := proxyproto.Read(r)
			if test.fails != "" {
				for _, err := range []error{err, readErr} {
					if err == nil || !strings.Contains(err.Error(), test.fails) {
						t.Errorf("error %v, want %q", err, test.fails)
					}
					if test.fails == "no PROXY" && !errors.Is(err, proxyproto.ErrNoHeader) {
						t.Errorf("%v is not ErrNoHeader", err)
					}
				}
				return
			}
			if err != nil || readErr != nil {
				t.Fatal(err, readErr)
			}
			if src.String() != test.want || read != src {
				t.Errorf("parsed %v, read %v, want %v", src, read, test.want)
			}
			if in[n:] != "after" {
				t.Errorf("%q is left of a datagram", in[n:])
			}
			if rest, _ := io.ReadAll(r); string(rest) != "after" {
				t.Errorf("%q is left of a stream", rest)
			}
		})
	}
}

func TestHeaderCutAnywhereIsRefused(t *testing.T) {
	whole := summed(four + typed)
	for n := range whole {
		if _, _, err := proxyproto.Parse([]byte(whole[:n])); err == nil {
			t.Errorf("%d octets were enough", n)
		}
		if _, err := proxyproto.Read(strings.NewReader(whole[:n])); err == nil {
			t.Errorf("%d octets of a stream were enough", n)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(header(0x21, 0x11, four+typed)))
	f.Add([]byte(header(0x21, 0x22, six)))
	f.Add([]byte(summed(four)))
	f.Add([]byte(header(0x20, 0, "")))
	f.Fuzz(func(t *testing.T, in []byte) {
		src, n, err := proxyproto.Parse(in)
		read, readErr := proxyproto.Read(bytes.NewReader(in))
		if (err == nil) != (readErr == nil) || src != read {
			t.Fatalf("parsed %v (%v), read %v (%v)", src, err, read, readErr)
		}
		if err == nil && (n < proxyproto.FixedLen || n > proxyproto.FixedLen+proxyproto.MaxLen || n > len(in)) {
			t.Fatalf("%d octets of %d", n, len(in))
		}
		if err != nil && (n != 0 || src != netip.AddrPort{}) {
			t.Fatalf("%v, %d beside an error", src, n)
		}
	})
}
