package tap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// Frame Streams, as libfstrm speaks it: data frames are a length of four octets and as many octets; a length of 0 escapes a control
// frame. We send READY with the content type, the reader ACCEPTs it, START opens the stream, STOP ends it and FINISH acknowledges.
const (
	controlAccept = 1
	controlStart  = 2
	controlStop   = 3
	controlReady  = 4
	controlFinish = 5

	fieldContentType = 1

	contentType = "protobuf:dnstap.Dnstap"
	maxControl  = 512 // octets of a control frame
)

// control is a control frame; content empty: without a content type.
func control(kind uint32, content string) []byte {
	b := []byte{0, 0, 0, 0, 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint32(b, kind)
	if content != "" {
		b = binary.BigEndian.AppendUint32(b, fieldContentType)
		b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
		b = append(b, content...)
	}
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

// begin is our part of the handshake. conn has a deadline.
func begin(conn net.Conn) error {
	if _, err := conn.Write(control(controlReady, contentType)); err != nil {
		return fmt.Errorf("offer dnstap: %w", err)
	}
	if err := expect(conn, controlAccept); err != nil {
		return err
	}
	if _, err := conn.Write(control(controlStart, contentType)); err != nil {
		return fmt.Errorf("start dnstap: %w", err)
	}
	return nil
}

var (
	errControl     = errors.New("not a control frame of Frame Streams")
	errContentType = errors.New("the reader does not take " + contentType)
)

// expect reads one control frame, which must be of a kind; an ACCEPT must take our content type.
func expect(r io.Reader, kind uint32) error {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("read control frame: %w", err)
	}
	length := binary.BigEndian.Uint32(head[4:])
	if binary.BigEndian.Uint32(head[:]) != 0 || length < 4 || length > maxControl {
		return errControl
	}
	fields := make([]byte, length-4)
	if _, err := io.ReadFull(r, fields); err != nil {
		return fmt.Errorf("read control frame: %w", err)
	}
	if got := binary.BigEndian.Uint32(head[8:]); got != kind {
		return fmt.Errorf("control frame of type %d, not %d", got, kind)
	}
	return accepts(fields, kind == controlAccept)
}

// accepts walks over the fields of a control frame. An ACCEPT without content types takes any.
func accepts(fields []byte, check bool) error {
	named, ours := false, false
	for len(fields) > 0 {
		if len(fields) < 8 || binary.BigEndian.Uint32(fields) != fieldContentType {
			return errControl
		}
		length := binary.BigEndian.Uint32(fields[4:])
		if uint64(length) > uint64(len(fields)-8) {
			return errControl
		}
		named = true
		ours = ours || string(fields[8:8+length]) == contentType
		fields = fields[8+length:]
	}
	if check && named && !ours {
		return errContentType
	}
	return nil
}
