package edge

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxTail is how much of an old file is read for the newest changes, in bytes.
const maxTail = 1 << 20

// auditFile is a file that only grows, and may be renamed under us. One goroutine at a time uses it.
type auditFile struct {
	path string
	f    *os.File // nil where it could not be opened
	torn bool     // the last line in it has no end
}

// openTail opens the file and returns its last lines.
func (a *auditFile) openTail() ([]byte, error) {
	if err := a.open(); err != nil {
		return nil, err
	}
	info, err := a.f.Stat()
	if err != nil {
		return nil, fmt.Errorf("edge: audit log: %w", err)
	}
	from := max(0, info.Size()-maxTail)
	tail, err := io.ReadAll(io.NewSectionReader(a.f, from, info.Size()-from))
	if err != nil {
		return nil, fmt.Errorf("edge: audit log: %w", err)
	}
	return tail, nil
}

func (a *auditFile) open() error {
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600) // read, to see whether the last line ends
	if err != nil {
		return fmt.Errorf("edge: audit log: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", a.path)
	}
	last := []byte{'\n'}
	if err == nil && info.Size() > 0 {
		_, err = f.ReadAt(last, info.Size()-1)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("edge: audit log: %w", err)
	}
	a.f, a.torn = f, last[0] != '\n'
	return nil
}

// append adds a line and waits until it is on the disk. A line that fails half way is ended before the next one.
func (a *auditFile) append(line []byte) error {
	if err := a.follow(); err != nil {
		return err
	}
	if a.torn {
		if _, err := a.f.Write([]byte{'\n'}); err != nil {
			return fmt.Errorf("edge: audit log: %w", err)
		}
		a.torn = false
	}
	n, err := a.f.Write(line)
	if err == nil {
		err = a.f.Sync()
	}
	if err != nil {
		a.torn = n > 0 && n < len(line)
		return fmt.Errorf("edge: audit log: %w", err)
	}
	return nil
}

// follow opens the file anew where it was renamed or removed, as a rotation does.
func (a *auditFile) follow() error {
	if a.f != nil {
		named, err := os.Stat(a.path)
		if err == nil {
			var held os.FileInfo
			if held, err = a.f.Stat(); err == nil && os.SameFile(named, held) {
				return nil
			}
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("edge: audit log: %w", err)
		}
		a.f.Close() // every line in it was synced
		a.f = nil
	}
	return a.open()
}

func (a *auditFile) close() error {
	if a.f == nil {
		return nil
	}
	return a.f.Close()
}
