package dnswire

// Record is one resource record of a message, its owner left aside.
type Record struct {
	Type, Class uint16
	TTL         uint32
	Data        []byte // within the message
	Fixed       int    // where the owner ends and the type starts
	End         int    // where the next record starts
}

// ReadRecord reads the record at off; false: it does not end within the message. Names are stepped over, not followed.
func ReadRecord(msg []byte, off int) (Record, bool) {
	r, ok := readRecord(msg, off)
	if !ok {
		return Record{}, false
	}
	return Record{r.typ, r.class, r.ttl, r.data, r.end - len(r.data) - 10, r.end}, true
}

// SkipQuestion returns where the question at off ends; false: not within the message.
func SkipQuestion(msg []byte, off int) (int, bool) {
	off, ok := skipName(msg, off)
	return off + 4, ok && off+4 <= len(msg)
}
