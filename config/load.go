package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v4"
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
	src, err := readLimited(path, maxFileBytes)
	if err != nil {
		return nil, nil, Errors{{File: path, Message: fmt.Sprintf("cannot be read: %v", cause(err))}}
	}
	hostname, err := os.Hostname()
	if err != nil || !isName(hostname) {
		hostname = "" // a host without a usable name is no reason to refuse the file
	}
	return Parse(path, src, Env{Dir: dir, Hostname: hostname, Lookup: os.LookupEnv, ReadFile: readSecret})
}

// Parse is Load without I/O of its own: src is the content of the file, which mistakes name as file, and env the world
// around it. Equal arguments give equal results.
func Parse(file string, src []byte, env Env) (*Config, Warnings, error) {
	d := &document{
		file: file, dir: env.Dir, src: string(src), lines: splitLines(string(src)), env: env,
		texts: make(map[*yaml.Node]substituted), zoneKeys: make(map[string]string), sum: sha256.New(),
	}
	if d.dir == "" {
		d.dir = filepath.Dir(file)
	}
	_, _ = d.sum.Write(src) // a hash never fails
	cfg := d.decode()
	if len(d.errors) > 0 {
		return nil, nil, Errors(sorted(d.errors))
	}
	cfg.File = filepath.Join(d.dir, filepath.Base(file))
	cfg.Sum = hex.EncodeToString(d.sum.Sum(nil))
	return cfg, Warnings(sorted(d.warnings)), nil
}

// document is one file on its way to a Config.
type document struct {
	file  string // as shown in mistakes
	dir   string
	src   string
	lines []string
	env   Env
	sum   hash.Hash // of the source and, in their order, of everything substituted into it

	root     object
	texts    map[*yaml.Node]substituted
	zoneKeys map[string]string // normal name of a zone -> as written
	errors   []*Mistake
	warnings []*Mistake
}

// decode runs the passes, each over the result of the one before. The Config is complete only if no pass reported a mistake.
func (d *document) decode() *Config {
	tree := d.parseTree()
	if tree == nil {
		return nil
	}
	top := cursor{d: d, n: follow(tree)}
	d.substitute(top)
	cfg := d.sections(top)
	if d.root.ok {
		d.checkReferences(cfg)
		d.checkListeners(cfg)
	}
	if len(d.errors) == 0 {
		d.inheritTTLs(cfg)
		d.warn(cfg)
	}
	return cfg
}

// sections decodes the top level.
func (d *document) sections(top cursor) *Config {
	d.root = top.object("version", "edge", "state_dir", "regions", "listeners", "cache", "geo", "log", "limits",
		"trusted_proxies", "checks", "pools", "distributions", "zones", "accelerators")
	o := d.root
	d.version(o)
	cfg := &Config{StateDir: filepath.Join(d.dir, "state")}
	cfg.Edge = d.edge(o)
	o.file("state_dir", &cfg.StateDir)
	cfg.Regions = d.regions(o)
	cfg.Listeners = d.listeners(o)
	cfg.Cache = d.cache(o)
	cfg.Geo = d.geo(o)
	cfg.Log = d.log(o)
	cfg.Limits = d.limits(o)
	cfg.TrustedProxies = d.trustedProxies(o)
	cfg.Checks = d.checks(o)
	cfg.Pools = d.pools(o)
	var own []Pool
	cfg.Distributions, own = d.distributions(o)
	cfg.Pools = append(cfg.Pools, own...)
	cfg.Zones = d.zones(o)
	var inline []Check
	cfg.Accelerators, inline = d.accelerators(o)
	cfg.Checks = append(cfg.Checks, inline...)
	return cfg
}

func (d *document) version(o object) {
	c, found := o.get("version")
	if !found {
		if o.absent("version") {
			d.at(1, 1, "version", "missing").hint("add version: 1")
		}
		return
	}
	if s, ok := c.scalar(); ok && s != "1" {
		c.errorf("this is version %s of the format; only version 1 is known", c.shown()).hint("write version: 1")
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

func readSecret(path string) ([]byte, error) { return readLimited(path, maxSecretBytes) }

// cause drops the operation and the path from a file error; the mistake names the file already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
