package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/meridian-edge/meridian/dns/zone"
)

// A zone has two files in the state folder. The checkpoint holds everything and is replaced as a whole; the log holds the differences
// made since, each written to the disk before it counts. The log names the checkpoint it belongs to, so that a crash between the two
// leaves no doubt.
//
//	checkpoint  magic, generation, kind, refreshed, hash of the base, SOA, overlay, differences, records, CRC-32 of all that
//	log         magic, generation, then: length, CRC-32, difference
const (
	checkMagic = "meridian zone 1\n"
	logMagic   = "meridian zlog 1\n"
	maxLog     = 1 << 20 // octets of a log, beyond which a new checkpoint is written
)

// saved is what a checkpoint holds.
type saved struct {
	fetched   bool      // the records are here; else they are made of the base and the overlay
	refreshed time.Time // when a primary last said that this is current
	base      [sha256.Size]byte
	soa       zone.Record
	overlay   diff
	journal   []diff
	data      *zone.Data // when fetched
}

// disk is the files of one zone. It belongs to whoever holds the zone's lock. The nil disk keeps nothing.
type disk struct {
	path string // without an ending
	gen  uint64
	log  *os.File
	size int64
}

// openDisk prepares the files of a zone. dir "" returns nil.
func openDisk(dir, label string) *disk {
	if dir == "" {
		return nil
	}
	file := url.PathEscape(label)
	if len(file) > 200 || file == "." {
		file = fmt.Sprintf("%x", sha256.Sum256([]byte(label)))
	}
	return &disk{path: filepath.Join(dir, file)}
}

// load reads what was saved, if anything was: fs.ErrNotExist otherwise. origin is that of the zone.
func (k *disk) load(origin []byte) (*saved, []diff, error) {
	b, err := os.ReadFile(k.path + ".zone")
	if err != nil {
		return nil, nil, err
	}
	s, gen, err := decodeCheckpoint(b, origin)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s.zone: %w", k.path, err)
	}
	k.gen = gen
	if info, err := os.Stat(k.path + ".zone"); err == nil && info.ModTime().Before(time.Now()) && info.ModTime().After(s.refreshed) {
		s.refreshed = info.ModTime()
	}
	return s, k.readLog(), nil
}

// touch notes on the disk that the zone is current.
func (k *disk) touch(now time.Time) {
	if k != nil {
		os.Chtimes(k.path+".zone", now, now) // when that cannot be, the zone expires early after a restart, and is fetched then
	}
}

// readLog reads the differences up to the first that is not whole: that one was never acknowledged.
func (k *disk) readLog() []diff {
	f, err := os.OpenFile(k.path+".log", os.O_RDWR, 0o600)
	if err != nil {
		return nil
	}
	b, err := io.ReadAll(f)
	head := len(logMagic) + 8
	if err != nil || len(b) < head || string(b[:len(logMagic)]) != logMagic || binary.BigEndian.Uint64(b[len(logMagic):]) != k.gen {
		f.Close()
		return nil
	}
	var out []diff
	at := head
	for len(b)-at >= 8 {
		size := int(binary.BigEndian.Uint32(b[at:]))
		if size > len(b)-at-8 || crc32.ChecksumIEEE(b[at+8:at+8+size]) != binary.BigEndian.Uint32(b[at+4:]) {
			break
		}
		r := reader{b: b[at+8 : at+8+size]}
		d := r.diff()
		if r.bad {
			break
		}
		out = append(out, d)
		at += 8 + size
	}
	if f.Truncate(int64(at)) != nil {
		f.Close()
		return out
	}
	if _, err := f.Seek(int64(at), io.SeekStart); err != nil {
		f.Close()
		return out
	}
	k.log, k.size = f, int64(at)
	return out
}

// append writes a difference to the disk. full: the next write should be a checkpoint.
func (k *disk) append(d *diff) (full bool, err error) {
	if k == nil {
		return false, nil
	}
	if k.log == nil {
		return true, errors.New("no log is open")
	}
	body := appendDiff(nil, d)
	entry := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	entry = append(binary.BigEndian.AppendUint32(entry, crc32.ChecksumIEEE(body)), body...)
	_, err = k.log.Write(entry)
	if err == nil {
		err = k.log.Sync()
	}
	if err != nil { // what is half written must not stand before what comes next
		k.log.Truncate(k.size)
		k.log.Seek(k.size, io.SeekStart)
		return false, fmt.Errorf("write the journal: %w", err)
	}
	k.size += int64(len(entry))
	return k.size > maxLog, nil
}

// checkpoint replaces the files by what is given.
func (k *disk) checkpoint(s *saved) error {
	if k == nil {
		return nil
	}
	b := encodeCheckpoint(s, k.gen+1)
	if err := writeFile(k.path+".zone", b); err != nil {
		return err
	}
	k.gen++
	if k.log != nil {
		k.log.Close()
		k.log = nil
	}
	head := binary.BigEndian.AppendUint64([]byte(logMagic), k.gen)
	if err := writeFile(k.path+".log", head); err != nil {
		return err
	}
	f, err := os.OpenFile(k.path+".log", os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	k.log, k.size = f, int64(len(head))
	return nil
}

// writeFile replaces a file so that either the old or the new one is there after a crash.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func (k *disk) close() {
	if k != nil && k.log != nil {
		k.log.Close()
		k.log = nil
	}
}

// remove forgets the zone.
func (k *disk) remove() error {
	if k == nil {
		return nil
	}
	k.close()
	var errs []error
	for _, ending := range []string{".zone", ".log"} {
		if err := os.Remove(k.path + ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
