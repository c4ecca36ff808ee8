package disk

// index knows every file that has been listed, and which goes next. Tier.mu guards it.
type index struct {
	names map[name]name // by bare name
	total int64
}

func newIndex() *index { return &index{names: map[name]name{}} }

func (x *index) len() int     { return len(x.names) }
func (x *index) bytes() int64 { return x.total }
func (x *index) add(n name) {
	x.names[n.bare()] = n
	x.total += n.bytes()
}

func (x *index) find(bare name) (name, bool) {
	n, ok := x.names[bare.bare()]
	return n, ok
}

func (x *index) remove(bare name) (name, bool) {
	n, ok := x.names[bare.bare()]
	if ok {
		delete(x.names, bare.bare())
		x.total -= n.bytes()
	}
	return n, ok
}

func (x *index) touch(bare name) {}

func (x *index) key(k name) (all []name) {
	for _, n := range x.names {
		if n.key == k.key && n.url == k.url {
			all = append(all, n)
		}
	}
	return all
}

func (x *index) url(url uint64) (all []name) {
	for _, n := range x.names {
		if n.url == url {
			all = append(all, n)
		}
	}
	return all
}

func (x *index) victim(free func(name) bool) (name, bool) {
	for _, n := range x.names {
		if free(n) {
			return n, true
		}
	}
	return name{}, false
}
