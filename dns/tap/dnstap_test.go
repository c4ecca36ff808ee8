package tap_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/tap"
	"github.com/meridian-edge/meridian/internal/need"
)

const contentType = "protobuf:dnstap.Dnstap"

// controlFrame makes one, as libfstrm does.
func controlFrame(kind uint32, contents ...string) []byte {
	body := binary.BigEndian.AppendUint32(nil, kind)
	for _, c := range contents {
		body = binary.BigEndian.AppendUint32(body, 1)
		body = binary.BigEndian.AppendUint32(body, uint32(len(c)))
		body = append(body, c...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 0}, uint32(len(body))), body...)
}

// readFrame reads a frame; control is true for a control frame.
func readFrame(r io.Reader) (body []byte, control bool, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, false, err
	}
	if control = head == [4]byte{}; control {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, false, err
		}
	}
	body = make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err = io.ReadFull(r, body)
	return body, control, err
}

// accept is a reader's part of a handshake.
func accept(conn net.Conn) error {
	for _, step := range []struct{ want, reply []byte }{
		{controlFrame(4, contentType), controlFrame(1, "something:else", contentType)}, {controlFrame(2, contentType), nil},
	} {
		body, control, err := readFrame(conn)
		switch {
		case err != nil:
			return err
		case !control || !bytes.Equal(body, step.want[8:]):
			return fmt.Errorf("% x, want % x", body, step.want[8:])
		}
		if _, err := conn.Write(step.reply); err != nil {
			return err
		}
	}
	return nil
}

// serveReader reads frames from one connection until STOP, and acknowledges that.
func serveReader(conn net.Conn) (frames [][]byte, err error) {
	defer conn.Close()
	if err := accept(conn); err != nil {
		return nil, err
	}
	for {
		body, control, err := readFrame(conn)
		switch {
		case err != nil:
			return frames, err
		case control && !bytes.Equal(body, controlFrame(3)[8:]):
			return frames, fmt.Errorf("control frame % x", body)
		case control:
			_, err := conn.Write(controlFrame(5))
			return frames, err
		}
		frames = append(frames, body)
	}
}

// field is one of a protocol buffer.
type field struct {
	number, kind int
	value        uint64
	data         []byte
}

// fields decodes a protocol buffer strictly: no field twice, no octet left over, shortest varints.
func fields(t *testing.T, b []byte) map[int]field {
	t.Helper()
	out := map[int]field{}
	varint := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || n > 1 && b[n-1] == 0 {
			t.Fatalf("varint % x", b)
		}
		b = b[n:]
		return v
	}
	for len(b) > 0 {
		key := varint()
		f := field{number: int(key >> 3), kind: int(key & 7)}
		switch f.kind {
		case 0:
			f.value = varint()
		case 2:
			n := varint()
			if n > uint64(len(b)) {
				t.Fatalf("field %d of %d octets, %d left", f.number, n, len(b))
			}
			f.data, b = b[:n], b[n:]
		case 5:
			f.value, b = uint64(binary.LittleEndian.Uint32(b)), b[4:]
		default:
			t.Fatalf("field %d of kind %d", f.number, f.kind)
		}
		if _, twice := out[f.number]; twice {
			t.Fatalf("field %d twice", f.number)
		}
		out[f.number] = f
	}
	return out
}

func TestDnstapMessages(t *testing.T) {
	v4, v6, large := event("www.example.com."), event("www.example.com."), event("www.example.com.")
	v4.Query, v4.Reply = []byte("a query"), []byte("a reply")
	v4.Server = netip.MustParseAddrPort("198.51.100.53:53")
	v6.Client, v6.Transport, v6.Reply, v6.Dropped = netip.MustParseAddrPort("[2001:db8::1]:65535"), "doq", nil, "rate_limited"
	v6.Server = netip.MustParseAddrPort("198.51.100.53:53") // behind a proxy, families may differ
	large.Transport, large.Reply = "dot", make([]byte, 65535)
	want := []string{
		"1 AUTH 1/1 192.168.1.1:5353 server 198.51.100.53:53 10=a query", "2 AUTH 1/1 192.168.1.1:5353 server 198.51.100.53:53 14=a reply",
		"1 AUTH 2/7 2001:db8::1:65535 server :53 10=" + string(v6.Query),
		"1 AUTH 1/3 192.168.1.1:5353 server :0 10=" + string(large.Query), "2 AUTH 1/3 192.168.1.1:5353 server :0 14=" + string(large.Reply),
	}
	client, server := net.Pipe()
	var frames [][]byte
	var err error
	var wg sync.WaitGroup
	wg.Go(func() { frames, err = serveReader(server) })
	d := tap.NewDnstap(tap.DnstapOptions{Identity: "edge7", Version: "meridian 1", Dial: func(context.Context) (net.Conn, error) { return client, nil }})
	for _, e := range []tap.Event{v4, v6, large} {
		d.Observe(e)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	waitFor(t, func() bool { return tap.Queued(d) == 0 })
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if len(frames) != len(want) {
		t.Fatalf("%d frames", len(frames))
	}
	for i, f := range frames {
		outer := fields(t, f)
		if string(outer[1].data) != "edge7" || string(outer[2].data) != "meridian 1" || outer[15].value != 1 || len(outer) != 4 {
			t.Errorf("frame %d: %v", i, outer)
		}
		m := fields(t, outer[14].data)
		addr, _ := netip.AddrFromSlice(m[4].data)
		serverText := ""
		if m[5].data != nil {
			a, _ := netip.AddrFromSlice(m[5].data)
			serverText = a.String()
		}
		payload := 10
		if m[1].value == 2 {
			payload = 14
		}
		got := fmt.Sprintf("%d AUTH %d/%d %s:%d server %s:%d %d=%s", m[1].value, m[2].value, m[3].value, addr, m[6].value, serverText, m[7].value, payload, m[payload].data)
		if got != want[i] {
			t.Errorf("frame %d: %.200q, want %.200q", i, got, want[i])
		}
		if m[8].value != uint64(when.Unix()) || m[9].value != uint64(when.Nanosecond()) || (m[12].value == m[8].value) != (payload == 14) {
			t.Errorf("frame %d: times %v", i, m)
		}
	}
}

// waitFor polls a condition that comes about by itself.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatal("it does not come about")
		}
		timer := time.NewTimer(time.Millisecond)
		<-timer.C
	}
}

// TestDnstapReconnects: with growing pauses, keeping what is queued meanwhile.
func TestDnstapReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials []time.Duration
		start := time.Now()
		readers := make(chan net.Conn, 1)
		d := tap.NewDnstap(tap.DnstapOptions{Dial: func(context.Context) (net.Conn, error) {
			dials = append(dials, time.Since(start))
			if len(dials) < 12 {
				return nil, errors.New("nobody there")
			}
			client, server := net.Pipe()
			readers <- server
			return client, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- d.Run(ctx) }()
		d.Observe(event("www.example.com."))
		first := <-readers
		for i := 1; i < len(dials); i++ {
			pause, most := dials[i]-dials[i-1], min(100*time.Millisecond<<(i-1), 30*time.Second)
			if pause < most/2 || pause > most {
				t.Errorf("pause %d: %s, want up to %s", i, pause, most)
			}
		}
		if err := accept(first); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, control, err := readFrame(first); control || err != nil {
				t.Fatalf("control %v, %v", control, err)
			}
		}
		first.Close() // it is noticed at once, not by the next frame
		second := <-readers
		d.Observe(event("www.example.com."))
		var frames [][]byte
		var err error
		var wg sync.WaitGroup
		wg.Go(func() { frames, err = serveReader(second) })
		synctest.Wait()
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		wg.Wait()
		if err != nil || len(frames) != 2 {
			t.Errorf("%d frames, %v", len(frames), err)
		}
	})
}

// TestDnstapReadersThatDoNotSpeakIt: their connection is closed, and tried again later; none of them holds up the end.
func TestDnstapReadersThatDoNotSpeakIt(t *testing.T) {
	for name, says := range map[string][]byte{
		"nothing":                nil,
		"a data frame":           {0, 0, 0, 4, 1, 2, 3, 4},
		"an endless frame":       {0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 1},
		"no type":                {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"STOP":                   controlFrame(3),
		"another content type":   controlFrame(1, "protobuf:other"),
		"a field cut off":        {0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1},
		"a content type cut off": {0, 0, 0, 0, 0, 0, 0, 13, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 'x'},
		"an unknown field":       {0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dials := make(chan net.Conn)
				d := tap.NewDnstap(tap.DnstapOptions{Dial: func(ctx context.Context) (net.Conn, error) {
					client, server := net.Pipe()
					select {
					case dials <- server:
						return client, nil
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}})
				ctx, cancel := context.WithCancel(t.Context())
				ran := make(chan error, 1)
				go func() { ran <- d.Run(ctx) }()
				for range 2 {
					conn := <-dials
					if _, _, err := readFrame(conn); err != nil {
						t.Fatal(err)
					}
					conn.Write(says)
					if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
						t.Errorf("it goes on: %v", err)
					}
					conn.Close()
				}
				conn := <-dials // and in the middle of a handshake
				began := time.Now()
				cancel()
				<-ran
				conn.Close()
				if took := time.Since(began); took > 0 {
					t.Errorf("the end took %s", took)
				}
			})
		})
	}
}

// TestFstrmCapture: the reader of libfstrm takes what we send, and the file it writes is what we sent.
func TestFstrmCapture(t *testing.T) {
	program := need.Tool(t, "fstrm_capture")
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "s"), filepath.Join(dir, "out.fstrm")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var out bytes.Buffer
	c := exec.CommandContext(ctx, program, "-t", contentType, "-u", socket, "-w", file)
	c.Stdout, c.Stderr = &out, &out
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 30 * time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { _, err := os.Stat(socket); return err == nil })
	d := tap.NewDnstap(tap.DnstapOptions{Socket: socket, Identity: "edge7"})
	query := new(mdns.Msg).SetQuestion("www.example.com.", mdns.TypeA)
	e := event("www.example.com.")
	e.Query, _ = query.Pack()
	e.Reply, _ = new(mdns.Msg).SetReply(query).Pack()
	const events = 1000
	for range events {
		d.Observe(e)
	}
	running, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(running) }()
	waitFor(t, func() bool { return tap.Queued(d) == 0 })
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	stop()
	c.Wait() // it ends by our signal
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	r := bytes.NewReader(b)
	frames, controls := 0, 0
	for r.Len() > 0 {
		body, control, err := readFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		if control {
			controls++
			continue
		}
		m := fields(t, fields(t, body)[14].data)
		if !bytes.Equal(m[10].data, e.Query) && !bytes.Equal(m[14].data, e.Reply) {
			t.Fatalf("frame %d: %v", frames, m)
		}
		frames++
	}
	if frames != 2*events || controls != 2 {
		t.Errorf("%d frames and %d control frames\n%s", frames, controls, out.Bytes())
	}
}
