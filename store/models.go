// Package store keeps what must survive a restart, in one bbolt file.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

var (
	metaBucket  = []byte("meta")
	modelBucket = []byte("models")
	savedAtKey  = []byte("models-saved-at")
	formatKey   = []byte("format")
)

// format is the layout of the file; another one is refused.
const format = 1

// open waits a second for another process to let go of the file.
func open(path string, readOnly bool) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, ReadOnly: readOnly})
	switch {
	case errors.Is(err, bolt.ErrTimeout):
		return nil, fmt.Errorf("store: state file %s is in use by another process", path)
	case err != nil:
		return nil, fmt.Errorf("store: state file %s cannot be opened: %w; move it aside to begin anew", path, err)
	}
	return db, nil
}

// SaveModels replaces the saved models by those that each yields, in one transaction: a crash leaves the old ones.
// It returns how many there are.
func SaveModels(path string, now time.Time, each func(yield func(account, name string, state []byte) error) error) (n int, err error) {
	db, err := open(path, false)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return n, db.Update(func(tx *bolt.Tx) error {
		if tx.Bucket(modelBucket) != nil {
			if err := tx.DeleteBucket(modelBucket); err != nil {
				return err
			}
		}
		models, err := tx.CreateBucket(modelBucket)
		if err != nil {
			return err
		}
		meta, err := tx.CreateBucketIfNotExists(metaBucket)
		if err != nil {
			return err
		}
		if err := meta.Put(savedAtKey, binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))); err != nil {
			return err
		}
		if err := meta.Put(formatKey, []byte{format}); err != nil {
			return err
		}
		return each(func(account, name string, state []byte) error {
			n++
			return models.Put([]byte(account+"\x00"+name), state)
		})
	})
}

// LoadModels yields the saved models with the time that has passed since, and returns how many there were. No file
// is no error.
func LoadModels(path string, now time.Time, yield func(account, name string, state []byte, away time.Duration)) (n int, err error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	db, err := open(path, true)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return n, db.View(func(tx *bolt.Tx) error {
		meta, models := tx.Bucket(metaBucket), tx.Bucket(modelBucket)
		if meta == nil || models == nil {
			return nil
		}
		if f := meta.Get(formatKey); len(f) != 1 || f[0] != format {
			return fmt.Errorf("store: state file %s has format %v, this version reads %d; move it aside to begin anew", path, f, format)
		}
		at := meta.Get(savedAtKey)
		if len(at) != 8 {
			return fmt.Errorf("store: state file %s does not say when it was saved; move it aside to begin anew", path)
		}
		away := max(0, now.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(at))))) // the clock may have been set back
		return models.ForEach(func(k, v []byte) error {
			account, name, ok := strings.Cut(string(k), "\x00")
			if !ok {
				return fmt.Errorf("store: state file %s holds a model without a function: %q", path, k)
			}
			yield(account, name, append([]byte(nil), v...), away)
			n++
			return nil
		})
	})
}
