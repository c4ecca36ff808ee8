package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// A file holds one object. All numbers are little endian.
//
//	0    magic, format version
//	12   length of the key, and of the URL part of it
//	20   bytes reserved for the metadata
//	24   serial: drawn at random for each file
//	32   variant
//	40   stamp
//	48   size of the body
//	56   checksum of the table
//	60   checksum of the bytes before it and of the key
//	64   key
//	     metadata: length, checksum, bytes, and room to grow
//	     table: a checksum for each block of the body
//	     body, at the next multiple of the page size
//
// Checksums are CRC-32C. That of the metadata covers the serial too. The head is written last, so a file that was cut short has none.
const (
	magic      = "MERIDISK"
	format     = 1
	headSize   = 64
	headSumAt  = 60
	frameSize  = 8   // before the metadata
	metaSlack  = 192 // room for metadata to grow when it is replaced in place
	firstRead  = 2 * pageSize
	tableEntry = 4
)

// ErrCorrupt is matched by errors about bytes on disk that are not what was written.
var ErrCorrupt = errors.New("corrupt")

// damage says what is wrong with a file. Its text is a label of a metric.
type damage string

const (
	badHead      damage = "head"      // no valid header
	badMeta      damage = "meta"      // metadata that is torn
	badTable     damage = "table"     // the table of checksums
	badBlock     damage = "block"     // a block of the body
	badLength    damage = "truncated" // shorter or longer than its header says
	badIdentity  damage = "foreign"   // not what its name says, a link, or no regular file
	badMedium    damage = "io"        // the disk reports an error
	missing      damage = "missing"   // gone without our doing
	badDirectory damage = "directory" // not a directory, or a link to one
)

// Error implements error.
func (d damage) Error() string { return "corrupt: " + string(d) }

// Is implements the matching of errors.Is.
func (d damage) Is(target error) bool { return target == ErrCorrupt }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is what the head of a file says.
type record struct {
	serial, variant, stamp uint64

	key      string
	url      int // length of the URL part of key
	area     int // bytes reserved for metadata, its frame included
	size     int64
	tableSum uint32
}

func (r *record) metaAt() int64   { return (headSize + int64(len(r.key)) + 7) &^ 7 }
func (r *record) tableAt() int64  { return r.metaAt() + int64(r.area) }
func (r *record) bodyAt() int64   { return r.tableAt() + tableEntry*int64(r.blocks()) }
func (r *record) fileSize() int64 { return r.bodyAt() + r.size }
func (r *record) blocks() int     { return int((r.size + blockSize - 1) / blockSize) }

// reserve chooses the room for metadata so that the body is at a multiple of the page size.
func (r *record) reserve(meta int) {
	r.area = frameSize + meta + metaSlack
	r.area += int(-r.bodyAt() & (pageSize - 1))
}

// pages is the size of a file as it is accounted for.
func pages(bytes int64) int64 { return (bytes + pageSize - 1) / pageSize }

// block returns where block i begins in the body, and its length.
func (r *record) block(i int) (start int64, length int) {
	start = int64(i) * blockSize
	return start, int(min(blockSize, r.size-start))
}

// appendHead appends everything before the metadata.
func (r *record) appendHead(b []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, format)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.key)))
	b = binary.LittleEndian.AppendUint32(b, uint32(r.url))
	b = binary.LittleEndian.AppendUint32(b, uint32(r.area))
	b = binary.LittleEndian.AppendUint64(b, r.serial)
	b = binary.LittleEndian.AppendUint64(b, r.variant)
	b = binary.LittleEndian.AppendUint64(b, r.stamp)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.size))
	b = binary.LittleEndian.AppendUint32(b, r.tableSum)
	sum := crc32.Checksum(b[start:], castagnoli)
	b = append(append(b, 0, 0, 0, 0), r.key...)
	sum = crc32.Update(sum, castagnoli, b[start+headSize:])
	binary.LittleEndian.PutUint32(b[start+headSumAt:], sum)
	return append(b, make([]byte, int(r.metaAt())-(len(b)-start))...)
}

// appendMeta appends metadata with its frame.
func (r *record) appendMeta(b, meta []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(meta)))
	b = binary.LittleEndian.AppendUint32(b, r.metaSum(meta))
	return append(b, meta...)
}

func (r *record) metaSum(meta []byte) uint32 {
	var b [12]byte
	binary.LittleEndian.PutUint64(b[:], r.serial)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(meta)))
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, meta)
}

// readRecord reads and checks head and metadata of a file of the given size. buf is room to read into. Errors are damages.
func readRecord(f io.ReaderAt, size int64, buf []byte) (*record, []byte, error) {
	b := buf[:min(size, firstRead)]
	if err := readFull(f, b, 0); err != nil {
		return nil, nil, err
	}
	r, err := parseHead(b)
	if err != nil {
		return nil, nil, err
	}
	if whole := int64(headSize + r.keyLength(b)); whole > int64(len(b)) {
		b = make([]byte, min(size, whole))
		if err := readFull(f, b, 0); err != nil {
			return nil, nil, err
		}
	}
	if err := r.takeKey(b); err != nil {
		return nil, nil, err
	}
	if r.fileSize() != size {
		return nil, nil, badLength
	}
	if r.bodyAt()&(pageSize-1) != 0 {
		return nil, nil, badHead
	}
	meta, err := r.readMeta(f, b)
	return r, meta, err
}

// keyLength is the length of the key as the head states it.
func (*record) keyLength(head []byte) int { return int(binary.LittleEndian.Uint32(head[12:])) }

// parseHead reads the numbers of a head, and checks that each is within its limit. The checksum is checked by takeKey.
func parseHead(b []byte) (*record, error) {
	if len(b) < headSize || string(b[:len(magic)]) != magic || binary.LittleEndian.Uint32(b[8:]) != format {
		return nil, badHead
	}
	r := &record{
		serial:   binary.LittleEndian.Uint64(b[24:]),
		variant:  binary.LittleEndian.Uint64(b[32:]),
		stamp:    binary.LittleEndian.Uint64(b[40:]),
		tableSum: binary.LittleEndian.Uint32(b[56:]),
	}
	url, area, size := binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:]), binary.LittleEndian.Uint64(b[48:])
	key := binary.LittleEndian.Uint32(b[12:])
	if key > maxKey || url > key || area < frameSize || area > frameSize+maxMeta+metaSlack+pageSize || size > maxBody {
		return nil, badHead
	}
	r.url, r.area, r.size = int(url), int(area), int64(size)
	return r, nil
}

// takeKey reads the key and checks the checksum of all of it.
func (r *record) takeKey(b []byte) error {
	end := headSize + r.keyLength(b)
	if end > len(b) {
		return badLength
	}
	sum := crc32.Checksum(b[:headSumAt], castagnoli)
	if crc32.Update(sum, castagnoli, b[headSize:end]) != binary.LittleEndian.Uint32(b[headSumAt:]) {
		return badHead
	}
	r.key = string(b[headSize:end])
	return nil
}

// readMeta reads the metadata. buf is the beginning of the file, as far as it has been read.
func (r *record) readMeta(f io.ReaderAt, buf []byte) ([]byte, error) {
	at := r.metaAt()
	frame := make([]byte, frameSize)
	if err := readPart(f, buf, frame, at); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(frame)
	if n > math.MaxInt32 || int(n) > r.area-frameSize {
		return nil, badMeta
	}
	meta := make([]byte, n)
	if err := readPart(f, buf, meta, at+frameSize); err != nil {
		return nil, err
	}
	if r.metaSum(meta) != binary.LittleEndian.Uint32(frame[4:]) {
		return nil, badMeta
	}
	return meta, nil
}

// readPart fills p with the bytes at an offset, out of buf if they are there.
func readPart(f io.ReaderAt, buf, p []byte, at int64) error {
	if at+int64(len(p)) <= int64(len(buf)) {
		copy(p, buf[at:])
		return nil
	}
	return readFull(f, p, at)
}

// readFull fills p, or says how the file is damaged.
func readFull(f io.ReaderAt, p []byte, at int64) error {
	n, err := f.ReadAt(p, at)
	switch {
	case n == len(p):
		return nil
	case err == io.EOF:
		return badLength
	}
	return fmt.Errorf("%w: %w", badMedium, err)
}

// readTable reads and checks the table of checksums.
func (r *record) readTable(f io.ReaderAt) ([]byte, error) {
	table := make([]byte, tableEntry*r.blocks())
	if err := readFull(f, table, r.tableAt()); err != nil {
		return nil, err
	}
	if crc32.Checksum(table, castagnoli) != r.tableSum {
		return nil, badTable
	}
	return table, nil
}

// readBlock reads block i into b, which has its length, and checks it.
func (r *record) readBlock(f io.ReaderAt, table []byte, i int, b []byte) error {
	start, _ := r.block(i)
	if err := readFull(f, b, r.bodyAt()+start); err != nil {
		return err
	}
	if crc32.Checksum(b, castagnoli) != binary.LittleEndian.Uint32(table[tableEntry*i:]) {
		return badBlock
	}
	return nil
}

// damageOf is the damage an error tells of, or badMedium.
func damageOf(err error) damage {
	var d damage
	if errors.As(err, &d) {
		return d
	}
	return badMedium
}
