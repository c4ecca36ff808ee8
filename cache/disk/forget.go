package disk

// Path is that of Options.
func (t *Tier) Path() string { return t.path }

// Forget sees that an object is not found from now on, and never waits: its file is removed a little later, and may come back if the process
// is killed before. Remove is for what must not.
func (t *Tier) Forget(key Key, variant uint64) {
	if !key.valid() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(nameOf(key, variant))
	t.poke()
}

// Count is how many objects there are of all keys whose URL part is url, and their size on disk, without those that wait to be written.
func (t *Tier) Count(url string) (n int, bytes int64) {
	at := nameOf(Key{Text: url, URL: len(url)}, 0)
	f, err := t.listed(at.dir())
	if err != nil {
		return 0, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.folder != f {
		return 0, 0
	}
	for _, name := range t.index.url(at.url) {
		n++
		bytes += name.bytes()
	}
	return n, bytes
}
