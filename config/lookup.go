package config

// Pool returns the pool of this name, in time linear in the number of pools. The caller must not write to it.
func (c *Config) Pool(name string) (*Pool, bool) {
	for i := range c.Pools {
		if c.Pools[i].Name == name {
			return &c.Pools[i], true
		}
	}
	return nil, false
}

// Check returns the check of this name, inline ones included, in linear time. The caller must not write to it.
func (c *Config) Check(name string) (*Check, bool) {
	for i := range c.Checks {
		if c.Checks[i].Name == name {
			return &c.Checks[i], true
		}
	}
	return nil, false
}

// Region returns the region of this name, in linear time.
func (c *Config) Region(name string) (Region, bool) {
	for _, r := range c.Regions {
		if r.Name == name {
			return r, true
		}
	}
	return Region{}, false
}

// Distribution returns the distribution of this name, in linear time. The caller must not write to it.
func (c *Config) Distribution(name string) (*Distribution, bool) {
	for i := range c.Distributions {
		if c.Distributions[i].Name == name {
			return &c.Distributions[i], true
		}
	}
	return nil, false
}
