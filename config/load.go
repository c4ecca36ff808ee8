package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meridian-edge/meridian/config/zones"
	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// Env is everything outside the file that a configuration can depend on. The zero Env has no variables and no files.
type Env struct {
	// Dir is the absolute folder that relative paths in the file start from. Empty: the folder of the file, as named.
	Dir string
	// Hostname is the default of edge.name. Empty: "meridian".
	Hostname string
	// Lookup finds the variable of ${NAME}; nil: none is set.
	Lookup func(name string) (string, bool)
	// ReadFile reads the file of ${file:PATH}, given its absolute path; nil: none can be read. More than 64 KiB is a
	// mistake, so it need not read further than that.
	ReadFile func(path string) ([]byte, error)
}

// Load reads and checks the file at path, at most 16 MiB, with the variables and files of this process. It returns either a
// complete Config with its warnings, or nil and an Errors with every mistake in the file, which is then never empty.
// A file that cannot be read is one mistake as well.
func Load(path string) (*Config, Warnings, error) {
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, nil, Errors{{File: path, Message: fmt.Sprintf("find its folder: %v", err)}}
	}
	src, err := readLimited(path, yamldoc.MaxFileBytes)
	if err != nil {
		return nil, nil, Errors{{File: path, Message: fmt.Sprintf("cannot be read: %v", cause(err))}}
	}
	hostname, err := os.Hostname()
	if err != nil || !yamldoc.IsName(hostname) {
		hostname = "" // a host without a usable name is no reason to refuse the file
	}
	return Parse(path, src, Env{Dir: dir, Hostname: hostname, Lookup: os.LookupEnv, ReadFile: readSecret})
}

// Parse is Load without I/O of its own: src is the content of the file, which mistakes name as file, and env the world
// around it. Equal arguments give equal results.
func Parse(file string, src []byte, env Env) (*Config, Warnings, error) {
	read, ok := yamldoc.Parse(file, src, yamldoc.Env{Dir: env.Dir, Lookup: env.Lookup, ReadFile: env.ReadFile, Secrets: []string{"secret", "secrets"}})
	d := &document{Document: read, hostname: env.Hostname}
	var cfg *Config
	if ok {
		cfg = d.decode()
	}
	if d.Failed() {
		return nil, nil, d.Errors()
	}
	cfg.File = d.Abs(filepath.Base(file))
	cfg.Sum = d.Sum()
	return cfg, d.Warnings(), nil
}

// The generic halves of reading, under the names that this package's own code has for them.
type (
	cursor = yamldoc.Cursor
	object = yamldoc.Object
)

// document is one file on its way to a Config.
type document struct {
	*yamldoc.Document
	hostname string // default of edge.name
	root     object
	zones    *zones.Section
}

// decode runs the passes, each over the result of the one before. The Config is complete only if no pass reported a mistake.
func (d *document) decode() *Config {
	cfg := d.sections(d.Top())
	if d.root.OK() {
		d.checkReferences(cfg)
		d.checkListeners(cfg)
	}
	if !d.Failed() {
		d.zones.Finish()
		d.warn(cfg)
	}
	return cfg
}

// sections decodes the top level.
func (d *document) sections(top cursor) *Config {
	d.root = top.Object("version", "edge", "state_dir", "regions", "listeners", "cache", "geo", "log", "limits",
		"quorum", "dns", "trusted_proxies", "resolvers", "checks", "pools", "distributions", "zones", "accelerators")
	o := d.root
	d.version(o)
	cfg := &Config{StateDir: d.Abs("state")}
	cfg.Edge = d.edge(o)
	o.File("state_dir", &cfg.StateDir)
	cfg.Regions = d.regions(o)
	cfg.Listeners = d.listeners(o)
	cfg.Cache = d.cache(o)
	cfg.Geo = d.geo(o)
	cfg.Log = d.log(o)
	cfg.Limits = d.limits(o)
	cfg.Quorum = d.quorum(o)
	cfg.DNS = readDNS(o)
	cfg.TrustedProxies = d.trustedProxies(o)
	cfg.Resolvers = d.resolvers(o)
	cfg.Checks = d.checks(o)
	cfg.Pools = d.pools(o)
	var own []Pool
	cfg.Distributions, own = d.distributions(o)
	cfg.Pools = append(cfg.Pools, own...)
	d.zones = zones.Read(o)
	cfg.Zones = d.zones.Zones
	var inline []Check
	cfg.Accelerators, inline = d.accelerators(o)
	cfg.Checks = append(cfg.Checks, inline...)
	return cfg
}

func (d *document) version(o object) {
	c, found := o.Get("version")
	if !found {
		if o.Absent("version") {
			d.At(1, 1, "version", "missing").Hint("add version: 1")
		}
		return
	}
	if s, ok := c.Scalar(); ok && s != "1" {
		c.Errorf("this is version %s of the format; only version 1 is known", c.Shown()).Hint("write version: 1")
	}
}

func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1)) // one more, so that a file over the limit shows
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return data, err
}

func readSecret(path string) ([]byte, error) { return readLimited(path, yamldoc.MaxSecretBytes) }

// cause drops the operation and the path from a file error; the mistake names the file already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
