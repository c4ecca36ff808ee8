package disk

import "github.com/prometheus/client_golang/prometheus"

// metrics are what a tier counts. Labels are small enumerations.
type metrics struct {
	corrupt    *prometheus.CounterVec
	writes     *prometheus.CounterVec
	written    prometheus.Counter
	evictions  prometheus.Counter
	removed    prometheus.Counter
	readErrors prometheus.Counter
	tooMany    prometheus.Counter
}

// What becomes of a write.
const (
	writeStored    = "stored"
	writeUpdated   = "updated"     // metadata in place
	writeCancelled = "cancelled"   // removed or replaced before it was done
	writeFull      = "queue_full"  // it was not taken
	writeTrouble   = "disk_failed" // the disk fails, or has failed a moment ago
	writeNoRoom    = "no_room"     // larger than there can be room for
	writeBroken    = "broken_body" // the body ended early
)

// newMetrics makes the metrics of t and registers them, unless r is nil.
func newMetrics(t *Tier, r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		corrupt: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_cache_disk_corrupt_total", Help: "Files removed because they were damaged, by what was wrong.",
		}, []string{"damage"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_cache_disk_writes_total", Help: "Objects given to the disk, by what became of them.",
		}, []string{"result"}),
		written:    counter("meridian_cache_disk_written_bytes_total", "Bytes of bodies written."),
		evictions:  counter("meridian_cache_disk_evictions_total", "Objects removed to make room for others."),
		removed:    counter("meridian_cache_disk_removed_objects_total", "Objects removed by purges and the like."),
		readErrors: counter("meridian_cache_disk_read_errors_total", "Files that could not be opened, for another reason than damage."),
		tooMany:    counter("meridian_cache_disk_open_refused_total", "Objects not opened because too many were open."),
	}
	for _, d := range [...]damage{
		badHead, badMeta, badTable, badBlock, badLength, badIdentity, badMedium, missing,
	} {
		m.corrupt.WithLabelValues(string(d))
	}
	for _, w := range [...]string{
		writeStored, writeUpdated, writeCancelled, writeFull, writeTrouble, writeNoRoom, writeBroken,
	} {
		m.writes.WithLabelValues(w)
	}
	if r == nil {
		return m
	}
	gauge := func(name, help string, value func(Stats) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(t.Stats()) })
	}
	r.MustRegister(m.corrupt, m.writes, m.written, m.evictions, m.removed, m.readErrors, m.tooMany,
		gauge("meridian_cache_disk_objects", "Objects known to be on disk.", func(s Stats) float64 { return float64(s.Objects) }),
		gauge("meridian_cache_disk_bytes", "Bytes on disk, files rounded up to 4 KiB, removed ones included while they are open.",
			func(s Stats) float64 { return float64(s.Bytes) }),
		gauge("meridian_cache_disk_limit_bytes", "Bytes that may be on disk.", func(s Stats) float64 { return float64(s.Limit) }),
		gauge("meridian_cache_disk_queue_bytes", "Bytes of bodies that wait to be written.",
			func(s Stats) float64 { return float64(s.QueueBytes) }),
		gauge("meridian_cache_disk_open_files", "Objects open for reading.", func(s Stats) float64 { return float64(s.Open) }),
		gauge("meridian_cache_disk_directories_listed", "Directories, of 256, whose files are known since the start.",
			func(s Stats) float64 { return float64(s.Listed) }),
		gauge("meridian_cache_disk_failing", "1 while nothing is written because the disk fails.", func(s Stats) float64 {
			if s.Failing != nil {
				return 1
			}
			return 0
		}),
	)
	return m
}
