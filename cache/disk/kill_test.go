package disk_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache/disk"
)

// childVariable makes this program the process that is killed; its value is the folder.
const childVariable = "MERIDIAN_DISK_CHILD"

const killKeys = 60

// killsVariable is how often it is killed.
const killsVariable = "MERIDIAN_KILLS"

// run runs a tier for as long as f takes.
func run(path string, f func(*disk.Tier)) {
	tier, err := disk.Open(disk.Options{Path: path, Size: 4 << 20, Identity: "kill"})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = tier.Run(ctx) })
	f(tier)
	cancel()
	wg.Wait()
	_ = tier.Close()
}

// child stores, changes and removes objects until it is killed. The metadata of each hold its version, the hash of its body, and their own
// hash. Every removal that has returned is told on standard output, with the newest version there was.
func child(path string) {
	base, _ := strconv.ParseUint(os.Getenv("MERIDIAN_DISK_VERSION"), 10, 64)
	run(path, func(tier *disk.Tier) {
		stored := make(chan struct{})
		body := content(base, 10)
		tier.Put(item(numbered(0), 2, string(proof(base, sha256.Sum256(body))), body, func() { close(stored) }))
		<-stored
		fmt.Println("ready") // to be killed
		for version := base + 1; ; version++ {
			k := rand.IntN(killKeys)
			body := content(version, rand.IntN(1<<uint(rand.IntN(18))))
			switch rand.IntN(8) {
			case 0:
				tier.RemoveKey(numbered(k))
				fmt.Println(k, version)
			case 1:
				found, _ := tier.Find(numbered(k))
				for _, o := range found {
					if v, sum, ok := readProof(o.Meta()); ok {
						tier.SetMeta(o.Key(), o.Variant(), o.Stamp(), append(proof(v, sum), make([]byte, rand.IntN(300))...))
					}
					o.Close()
				}
			default:
				for !tier.Put(item(numbered(k), uint64(rand.IntN(2)), string(proof(version, sha256.Sum256(body))), body, nil)) {
					time.Sleep(time.Millisecond) // the queue is full
				}
			}
		}
	})
}

// proof is metadata by which an object can be checked.
func proof(version uint64, sum [32]byte) []byte {
	b := append(binary.LittleEndian.AppendUint64(nil, version), sum[:]...)
	all := sha256.Sum256(b)
	return append(b, all[:]...)
}

func readProof(b []byte) (version uint64, sum [32]byte, ok bool) {
	if len(b) < 72 {
		return 0, sum, false
	}
	copy(sum[:], b[8:])
	all := sha256.Sum256(b[:40])
	return binary.LittleEndian.Uint64(b), sum, bytes.Equal(all[:], b[40:72])
}

// TestF14KilledAtAnyMoment kills a process that writes, again and again. After each time nothing that is found is damaged, nothing is found that
// was removed before, nothing half written stays behind.
func TestF14KilledAtAnyMoment(t *testing.T) {
	kills := 40
	if n, err := strconv.Atoi(os.Getenv(killsVariable)); err == nil {
		kills = n
	}
	path := t.TempDir()
	removed := map[int]uint64{} // the version up to which a key was removed
	found, lost := 0, 0
	for i := range kills {
		version := uint64(i+1) << 32
		for line := range strings.Lines(killed(t, path, version)) {
			var k int
			var v uint64
			if n, _ := fmt.Sscan(line, &k, &v); n == 2 && strings.HasSuffix(line, "\n") {
				removed[k] = v
			}
		}
		f, l := survey(t, path, removed)
		found, lost = found+f, lost+l
		if t.Failed() {
			t.Fatalf("after kill %d", i+1)
		}
	}
	t.Logf("%d kills: %d objects found and sound, %d keys without", kills, found, lost)
	if found == 0 {
		t.Error("nothing was ever found")
	}
}

// killed runs a child for a moment, kills it, and returns what it wrote.
func killed(t *testing.T, path string, version uint64) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), childVariable+"="+path, "MERIDIAN_DISK_VERSION="+strconv.FormatUint(version, 10))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	if line != "ready\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	killer := time.AfterFunc(time.Duration(rand.Int64N(int64(20*time.Millisecond))), func() { _ = c.Process.Kill() })
	defer killer.Stop()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	return string(text)
}

// survey checks everything there is, before and after all directories are listed.
func survey(t *testing.T, path string, removed map[int]uint64) (found, lost int) {
	t.Helper()
	run(path, func(tier *disk.Tier) {
		for k := range killKeys {
			objects, err := tier.Find(numbered(k))
			if err != nil {
				t.Fatal(err)
			}
			if len(objects) == 0 {
				lost++
			}
			for _, o := range objects {
				found++
				version, sum, ok := readProof(o.Meta())
				var body bytes.Buffer
				if _, err := o.WriteRange(&body, 0, o.Size()); err != nil || !ok || sha256.Sum256(body.Bytes()) != sum {
					t.Errorf("key %d, version %x: damaged: %v", k, version, err)
				}
				if version <= removed[k] {
					t.Errorf("key %d, version %x: was removed", k, version)
				}
				o.Close()
			}
		}
		for !tier.Stats().Complete { // in another goroutine; it takes a few milliseconds
			time.Sleep(time.Millisecond)
		}
		objects, others := files(t, path)
		if len(others) > 0 || len(objects) != tier.Stats().Objects {
			t.Errorf("left behind: %v; %d files, %+v", others, len(objects), tier.Stats())
		}
	})
	return found, lost
}
