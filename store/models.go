// Package store keeps what must survive a restart: in one bbolt file what is
// ours in the cluster and what was learnt, in a second, memory-mapped one how
// many leases each container holds.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	metaBucket  = []byte("meta")
	modelBucket = []byte("models")
	savedAtKey  = []byte("models-saved-at")
	formatKey   = []byte("format")
)

// format is the layout of the file.
const format = 1

// InUseError says that another process has the file open.
type InUseError struct{ Path string }

func (e *InUseError) Error() string {
	return fmt.Sprintf("store: state file %s is in use by another process; end it, or give this one a file of its own", e.Path)
}

// open waits a second for another process to let go of the file.
func open(path string) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, &InUseError{path}
	case err != nil:
		return nil, fmt.Errorf("store: state file %s cannot be opened: %w", path, err)
	}
	return db, nil
}

func loadModels(tx *bolt.Tx, path string, now time.Time, n *int, yield func(account, name string, state []byte, away time.Duration)) error {
	at := tx.Bucket(metaBucket).Get(savedAtKey)
	if at == nil {
		return nil // none was saved yet
	}
	if len(at) != 8 {
		return fmt.Errorf("store: state file %s does not say when its models were saved", path)
	}
	away := max(0, now.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(at))))) // the clock may have been set back
	return tx.Bucket(modelBucket).ForEach(func(k, v []byte) error {
		account, name, ok := strings.Cut(string(k), "\x00")
		if !ok {
			return fmt.Errorf("store: state file %s holds a model without a function: %q", path, k)
		}
		yield(account, name, append([]byte(nil), v...), away)
		*n++
		return nil
	})
}
