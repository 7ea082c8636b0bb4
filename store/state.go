package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/forewarm/forewarm/cluster"
)

// NodeRecord is a node that was asked for or is held.
type NodeRecord struct {
	Request string       // that asked for it; its key
	Account string       // on whose behalf
	Node    cluster.Node // zero until the manager answered
	LiveID  string       // "" until the node was first read
	Leaving bool         // its release was ordered
}

// ContainerRecord is a container that was ordered or exists.
type ContainerRecord struct {
	Name        string // ours; its key
	ID          string // the node's; "" until the start was answered
	Node        string // cluster.Node.ID
	Function    cluster.Function
	Concurrency int
	Units       int32
	Memory      int64 // bytes booked
	Slot        int   // in the file of lease counts
	Leaving     bool  // its stop was ordered
}

// Found is what an earlier run left in the file.
type Found struct {
	Nodes      []NodeRecord
	Containers []ContainerRecord
	Fresh      bool   // there was no file, or none that could be used
	Moved      string // where a file that could not be used was moved
	Why        error  // why it was
}

var (
	nodeBucket      = []byte("nodes")
	containerBucket = []byte("containers")
)

// State is the file of what is ours. One goroutine writes, in batches; callers wait for the disk only where they
// say so. Its methods are safe for concurrent use.
type State struct {
	path string
	db   *bolt.DB
	log  *slog.Logger
	note func(n int, took time.Duration, err error) // told of every batch; may be nil

	mu    sync.Mutex
	queue []change
	wake  chan struct{}
	done  chan struct{} // closed when the writer has ended
	end   chan struct{}

	refused bool // the disk took the last batch not; the writer's alone
}

// change is one write: a value of nil deletes the key. Whoever waits for the disk listens on flushed.
type change struct {
	bucket, key, value []byte
	flushed            chan error
}

// Options of Open.
type Options struct {
	Log  *slog.Logger
	Note func(n int, took time.Duration, err error) // told of every batch that was written, or failed
}

// Open opens or makes the file at path. A file that is torn, foreign or of another version is moved aside, and
// said so in Found; one in use by another process is an error.
func Open(path string, o Options) (*State, Found, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	info, statErr := os.Stat(path)
	if statErr == nil && !info.Mode().IsRegular() { // a folder, say: not for us to move
		return nil, Found{}, fmt.Errorf("store: state file %s is no file; give the path of one, which need not exist", path)
	}
	db, found, err := openSound(path)
	if err != nil {
		var use *InUseError
		if errors.As(err, &use) || errors.Is(err, os.ErrPermission) {
			return nil, found, err
		}
		moved := fmt.Sprintf("%s.unusable-%s", path, time.Now().UTC().Format("20060102T150405.000"))
		if e := os.Rename(path, moved); e != nil {
			return nil, found, fmt.Errorf("store: state file %s cannot be used (%w) and cannot be moved aside: %w", path, err, e)
		}
		why := err
		if db, found, err = openSound(path); err != nil {
			return nil, found, err
		}
		found.Moved, found.Why, found.Fresh = moved, why, true
	}
	found.Fresh = found.Fresh || errors.Is(statErr, os.ErrNotExist)
	s := &State{path: path, db: db, log: o.Log, note: o.Note, wake: make(chan struct{}, 1), done: make(chan struct{}), end: make(chan struct{})}
	go s.write()
	return s, found, nil
}

// walk reads every key and value. Bbolt's own Check does so in a goroutine of its own, in which a fault ends the
// process.
func walk(tx *bolt.Tx) error {
	sum := byte(0)
	err := tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		last := []byte(nil)
		return b.ForEach(func(k, v []byte) error {
			if last != nil && bytes.Compare(last, k) >= 0 {
				return fmt.Errorf("key %q of bucket %q is out of order", k, name)
			}
			last = bytes.Clone(k)
			for _, c := range v {
				sum ^= c // touches the memory
			}
			return nil
		})
	})
	_ = sum
	return err
}

// openSound opens a file and reads all of it, so that damage shows now. Bbolt panics on some kinds of it, and on
// others looks where there is no memory.
func openSound(path string) (db *bolt.DB, found Found, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("store: state file %s is damaged: %v", path, p)
		}
		if err != nil && db != nil {
			_ = db.Close() // the first error is the one to tell
			db = nil
		}
	}()
	if err = whole(path); err != nil {
		return nil, found, err
	}
	if db, err = open(path); err != nil {
		return nil, found, err
	}
	if err = db.Update(func(tx *bolt.Tx) error { return prepare(tx, path) }); err != nil {
		return db, found, err
	}
	err = db.View(func(tx *bolt.Tx) error {
		if err := walk(tx); err != nil {
			return fmt.Errorf("store: state file %s is damaged: %w", path, err)
		}
		return errors.Join(readAll(tx.Bucket(nodeBucket), &found.Nodes), readAll(tx.Bucket(containerBucket), &found.Containers))
	})
	return db, found, err
}

// whole looks whether a file was cut off. Bbolt maps it into memory, where a missing page is no error that could be
// returned but the end of the process. Opened for reading it looks at the head only.
func whole(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return nil // a new one
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, ReadOnly: true})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return &InUseError{path}
	}
	if err != nil {
		return fmt.Errorf("store: state file %s cannot be opened: %w", path, err)
	}
	err = db.View(func(tx *bolt.Tx) error {
		if want := tx.Size(); want > info.Size() {
			return fmt.Errorf("store: state file %s is damaged: it has %d bytes of at least %d", path, info.Size(), want)
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

// prepare makes the buckets of an empty file and checks the format of another one. Older formats are migrated
// here, one step at a time; there is none yet.
func prepare(tx *bolt.Tx, path string) error {
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	if f := meta.Get(formatKey); f == nil {
		if err := meta.Put(formatKey, []byte{format}); err != nil {
			return err
		}
	} else if len(f) != 1 || f[0] != format {
		return fmt.Errorf("store: state file %s has format %v, this version reads %d", path, f, format)
	}
	for _, b := range [][]byte{nodeBucket, containerBucket, modelBucket} {
		if _, err := tx.CreateBucketIfNotExists(b); err != nil {
			return err
		}
	}
	return nil
}

func readAll[T any](b *bolt.Bucket, out *[]T) error {
	return b.ForEach(func(k, v []byte) error {
		var r T
		if err := json.Unmarshal(v, &r); err != nil {
			return fmt.Errorf("store: record %q cannot be read: %w", k, err)
		}
		*out = append(*out, r)
		return nil
	})
}

// PutNode notes a node; it is on the disk when PutNode returns, unless that takes longer than a second, which is an
// error: the caller decides whether to go on.
func (s *State) PutNode(r NodeRecord) error { return s.wait(s.put(nodeBucket, r.Request, r)) }

// NoteNode notes a node, soon.
func (s *State) NoteNode(r NodeRecord) { s.add(s.put(nodeBucket, r.Request, r)) }

// DropNode forgets a node, soon.
func (s *State) DropNode(request string) { s.add(change{bucket: nodeBucket, key: []byte(request)}) }

// PutContainer notes a container, soon.
func (s *State) PutContainer(r ContainerRecord) {
	s.add(s.put(containerBucket, r.Name, r))
}

// DropContainer forgets a container, soon.
func (s *State) DropContainer(name string) {
	s.add(change{bucket: containerBucket, key: []byte(name)})
}

func (s *State) put(bucket []byte, key string, r any) change {
	v, err := json.Marshal(r)
	if err != nil {
		panic(err) // our own plain structs
	}
	return change{bucket: bucket, key: []byte(key), value: v}
}

func (s *State) add(c change) {
	s.mu.Lock()
	s.queue = append(s.queue, c)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// slowDisk is how long a caller that wants its write on the disk waits for it.
const slowDisk = time.Second

func (s *State) wait(c change) error {
	c.flushed = make(chan error, 1)
	s.add(c)
	t := time.NewTimer(slowDisk)
	defer t.Stop()
	select {
	case err := <-c.flushed:
		return err
	case <-s.done:
		return fmt.Errorf("store: state file %s is closed", s.path)
	case <-t.C:
		return fmt.Errorf("store: state file %s was not written within %v", s.path, slowDisk)
	}
}

// batchPause lets a burst of writes share one flush of the disk.
const batchPause = 2 * time.Millisecond

// retryPause is how long the writer waits after the disk refused a batch.
const retryPause = time.Second

// write is the one writer: it takes what has queued up and writes it in one transaction, again and again until the
// disk takes it.
func (s *State) write() {
	defer close(s.done)
	for {
		ending := false
		select {
		case <-s.wake:
			time.Sleep(batchPause)
		case <-s.end:
			ending = true
		}
		for s.flush() != nil && !ending {
			select {
			case <-time.After(retryPause):
			case <-s.end:
				ending = true
			}
		}
		if ending {
			return
		}
	}
}

func (s *State) flush() error {
	s.mu.Lock()
	batch := s.queue
	s.queue = nil
	s.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	began := time.Now()
	err := s.db.Update(func(tx *bolt.Tx) error {
		for _, c := range batch {
			b := tx.Bucket(c.bucket)
			if c.value == nil {
				if err := b.Delete(c.key); err != nil {
					return err
				}
			} else if err := b.Put(c.key, c.value); err != nil {
				return err
			}
		}
		return nil
	})
	if s.note != nil {
		s.note(len(batch), time.Since(began), err)
	}
	s.tell(len(batch), err)
	s.settle(batch, err)
	return err
}

// tell says once that the disk refuses, and once that it does not any more.
func (s *State) tell(changes int, err error) {
	switch {
	case err != nil && !s.refused:
		s.log.Error("state could not be written; it is tried again until it can", "file", s.path, "changes", changes, "error", err)
	case err == nil && s.refused:
		s.log.Info("state is written again", "file", s.path, "changes", changes)
	}
	s.refused = err != nil
}

// settle tells those that wait, and puts a failed batch back before what has come since.
func (s *State) settle(batch []change, err error) {
	for i := range batch {
		if batch[i].flushed != nil {
			batch[i].flushed <- err
			batch[i].flushed = nil
		}
	}
	if err != nil {
		s.mu.Lock()
		s.queue = append(batch, s.queue...)
		s.mu.Unlock()
	}
}

// Model is what was learnt of a function.
type Model struct {
	Account, Name string
	State         []byte
}

// SaveModels replaces the saved models, in one transaction: a crash leaves the old ones.
func (s *State) SaveModels(now time.Time, ms []Model) error {
	return s.db.Update(func(tx *bolt.Tx) error {
		if err := tx.DeleteBucket(modelBucket); err != nil {
			return err
		}
		models, err := tx.CreateBucket(modelBucket)
		if err != nil {
			return err
		}
		if err := tx.Bucket(metaBucket).Put(savedAtKey, binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))); err != nil {
			return err
		}
		for _, m := range ms {
			if err := models.Put([]byte(m.Account+"\x00"+m.Name), m.State); err != nil {
				return err
			}
		}
		return nil
	})
}

// LoadModels yields the saved models with the time that has passed since, and returns how many there were.
func (s *State) LoadModels(now time.Time, yield func(account, name string, state []byte, away time.Duration)) (n int, err error) {
	return n, s.db.View(func(tx *bolt.Tx) error { return loadModels(tx, s.path, now, &n, yield) })
}

// Close writes what is queued and closes the file.
func (s *State) Close() error {
	close(s.end)
	<-s.done
	return s.db.Close()
}
