package edge

import (
	"fmt"
	"os"
	"sync"
)

// logFile is a file that can be opened again after it was moved away, as log rotation does. It is safe for concurrent use.
type logFile struct {
	path string

	mu   sync.Mutex // guards the field below
	file *os.File
}

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.reopen()
}

// reopen opens the path again and closes what was open. When that fails the open file is kept: no line is lost.
func (l *logFile) reopen() error {
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open access log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file = file
	return nil
}

func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Write(b)
}

func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// ReopenLogs opens the access log's file again, so that log rotation can move it away. It does nothing when lines go
// elsewhere.
func (n *Node) ReopenLogs() error {
	if n.organs.file == nil {
		return nil
	}
	err := n.organs.file.reopen()
	if err == nil {
		n.log.Info("access log opened again", "file", n.organs.file.path)
	}
	return err
}
