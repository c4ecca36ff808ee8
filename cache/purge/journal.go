package purge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// journalName is the journal's name in its folder.
const journalName = "purges.log"

// record is one line of the journal: exactly one of its fields is set, except by rewrite's first line.
type record struct {
	Order *Order `json:"order,omitempty"`
	Undo  uint64 `json:"undo,omitempty"`
	Floor uint64 `json:"floor,omitempty"`
	// Identity names the journal. Another name means that orders may be lost which the one of that name had.
	Identity string `json:"identity,omitempty"`
	// gap is set when lines before this one could not be read.
	gap bool
}

// journal is an append-only file of records, each a line: a checksum in eight hex digits, a space, JSON.
type journal struct {
	path string
	file *os.File
	size int64 // of what is whole
}

// openJournal reads a journal, or makes one. What follows the last whole line is cut off.
func openJournal(dir string) (*journal, []record, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	j := &journal{path: filepath.Join(dir, journalName)}
	var err error
	if j.file, err = os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, nil, err
	}
	text, err := io.ReadAll(j.file)
	if err != nil {
		j.file.Close()
		return nil, nil, err
	}
	records, size := readJournal(text)
	j.size = int64(size)
	if err = j.file.Truncate(j.size); err == nil {
		_, err = j.file.Seek(j.size, io.SeekStart)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		j.file.Close()
		return nil, nil, err
	}
	return j, records, nil
}

// readJournal returns the records of a journal and where the last whole one ends. Lines that are damaged leave a gap.
func readJournal(text []byte) ([]record, int) {
	var records []record
	size, gap := 0, false
	for at := 0; at < len(text); {
		n := bytes.IndexByte(text[at:], '\n')
		if n < 0 {
			break
		}
		r, err := readLine(text[at : at+n])
		at += n + 1
		if err != nil {
			gap = true
			continue
		}
		r.gap, gap = gap, false
		records = append(records, r)
		size = at
	}
	return records, size
}

func readLine(line []byte) (record, error) {
	var r record
	sum, text, found := bytes.Cut(line, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	switch {
	case !found || err != nil || len(sum) != 8:
		return r, fmt.Errorf("no checksum")
	case uint32(want) != crc32.ChecksumIEEE(text):
		return r, fmt.Errorf("the checksum does not match")
	}
	err = json.Unmarshal(text, &r)
	if err == nil && r.Order == nil && r.Undo == 0 && r.Floor == 0 && r.Identity == "" {
		err = fmt.Errorf("an empty record")
	}
	return r, err
}

func appendLine(dst []byte, r record) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	dst = fmt.Appendf(dst, "%08x ", crc32.ChecksumIEEE(text))
	return append(append(dst, text...), '\n'), nil
}

// append writes a record and waits until it is on disk. A write that fails leaves the journal as it was.
func (j *journal) append(r record) error {
	line, err := appendLine(nil, r)
	if err != nil {
		return err
	}
	if _, err = j.file.WriteAt(line, j.size); err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		_ = j.file.Truncate(j.size)
		return err
	}
	j.size += int64(len(line))
	return nil
}

// rewrite replaces the journal by one that holds what is still remembered.
func (j *journal) rewrite(identity string, floor uint64, orders []Order) error {
	text, err := appendLine(nil, record{Identity: identity})
	if err != nil {
		return err
	}
	if floor > 0 {
		if text, err = appendLine(text, record{Floor: floor}); err != nil {
			return err
		}
	}
	for i := range orders {
		if text, err = appendLine(text, record{Order: &orders[i]}); err != nil {
			return err
		}
	}
	next, err := os.OpenFile(j.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = next.Write(text); err == nil {
		err = next.Sync()
	}
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(j.path))
	}
	if err != nil {
		next.Close()
		return err
	}
	j.file.Close()
	j.file, j.size = next, int64(len(text))
	return nil
}

func (j *journal) close() error { return j.file.Close() }

// syncDir makes a new or renamed file's name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// replay takes a record in, with mu held. After a gap nobody knows what the lost orders were about: everything stored before the
// order that follows is dead.
func (b *Book) replay(r *record) {
	switch {
	case r.Identity != "":
		b.identity = r.Identity
	case r.Floor > 0 && r.Floor < maxID:
		b.floor = max(b.floor, r.Floor)
		b.current.Store(max(b.current.Load(), r.Floor))
	case r.Undo > 0:
		if i := b.index(r.Undo); i >= 0 {
			b.undo(i)
		}
	case r.Order != nil && r.Order.ID > b.current.Load() && r.Order.ID < maxID && r.Order.Kind < kinds:
		undone := r.Order.Undone
		b.take(r.Order)
		if undone {
			b.undo(len(b.orders) - 1)
		}
	}
	if r.gap {
		b.floor = max(b.floor, b.current.Load())
	}
}
