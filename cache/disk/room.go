package disk

// makeRoom removes objects until there is room for need bytes more.
func (t *Tier) makeRoom(f *folder, need int64) error {
	for {
		t.mu.Lock()
		missing := t.used() + need - t.size
		t.mu.Unlock()
		if missing <= 0 {
			return nil
		}
		if err := t.evict(f, 1); err != nil {
			return err
		}
	}
}

// evict removes objects of at least so many bytes, none of which is being read.
func (t *Tier) evict(f *folder, bytes int64) error {
	for bytes > 0 {
		t.mu.Lock()
		n, ok := t.index.victim(func(n name) bool { l := t.lives[n]; return l == nil || l.opens == 0 })
		if ok {
			t.drop(n)
		}
		t.mu.Unlock()
		if !ok {
			return errNoRoom
		}
		d := &f.dirs[n.dir()]
		d.mu.Lock()
		err := t.unlink(f, n)
		d.mu.Unlock()
		if err != nil {
			return err
		}
		t.metrics.evictions.Inc()
		bytes -= n.bytes()
	}
	return nil
}

// clearTrash unlinks what was left to the writer.
func (t *Tier) clearTrash(f *folder) error {
	t.mu.Lock()
	names := make([]name, 0, len(t.trash))
	for n := range t.trash {
		names = append(names, n)
	}
	t.mu.Unlock()
	for _, n := range names {
		if err := t.clearOne(f, n); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tier) clearOne(f *folder, n name) error {
	d := &f.dirs[n.dir()]
	d.mu.Lock()
	defer d.mu.Unlock()
	t.mu.Lock()
	now, stored := t.index.find(n)
	t.mu.Unlock()
	if !stored || now != n {
		if err := t.unlink(f, n); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.folder == f {
		t.recycled(n)
	}
	return nil
}

// recycled takes a name out of the trash. t.mu is held.
func (t *Tier) recycled(n name) {
	if _, there := t.trash[n]; there {
		delete(t.trash, n)
		t.trashBytes -= n.bytes()
	}
}
