package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// AuditOptions tunes an Audit. The zero value keeps changes in memory only.
type AuditOptions struct {
	File string       // gets one line of JSON for each change. Made with mode 0600. Default: none
	Keep int          // changes in memory, the newest. Default 1,000
	Log  *slog.Logger // is told when the file cannot be written, and when it can again. Default: none
	Lost func(int)    // is told of lines that will never be in the file: more than Keep waited; must not block. Default: none
}

// Change is one entry.
type Change struct {
	Seq    uint64    `json:"seq"` // rises by one; a gap shows that lines are missing
	At     time.Time `json:"at"`
	Who    string    `json:"who,omitempty"`
	What   string    `json:"what,omitempty"`
	Before string    `json:"before,omitempty"`
	After  string    `json:"after,omitempty"`
	Failed string    `json:"failed,omitempty"` // why it was not done after all; in the file a line of its own, with the same Seq
}

// maxChange bounds Before and After, in bytes. A functions.yaml does not belong here, its differences do.
const maxChange = 4 << 10

// diskTime bounds how long a change waits for its line to be on the disk. After that it goes on: an operator who
// brings down the load must not wait for a disk that hangs.
const diskTime = 250 * time.Millisecond

// Audit is who changed what. A change is written before it is done, so that none is done that is not written, as long
// as the disk takes it; when it does not, changes are kept in memory, go on, and are written when it does again.
//
// What is handed in must hold no secrets: values of type Secret print as hidden.
type Audit struct {
	opts AuditOptions
	file *auditFile // nil without one

	mu      sync.Mutex
	ring    []Change        // guarded by mu; oldest first
	seq     uint64          // guarded by mu
	pending []pendingLine   // guarded by mu; not in the file yet, oldest first
	writer  <-chan struct{} // guarded by mu; closed when the goroutine that writes ends, nil where none runs

	failing bool // of the writer: its last try went wrong
}

type pendingLine struct {
	text []byte
	done chan struct{} // closed once it is in the file
}

// NewAudit makes an Audit, and takes the newest changes over from the file.
func NewAudit(o AuditOptions) (*Audit, error) {
	if o.Keep <= 0 {
		o.Keep = 1000
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Lost == nil {
		o.Lost = func(int) {}
	}
	a := &Audit{opts: o}
	if o.File == "" {
		return a, nil
	}
	a.file = &auditFile{path: o.File}
	tail, err := a.file.openTail()
	if err != nil {
		return nil, err
	}
	for l := range bytes.Lines(tail) {
		var c Change
		if json.Unmarshal(l, &c) == nil && c.Seq > 0 { // lines that do not parse were torn, or are somebody else's
			a.takeOverLocked(c)
		}
	}
	return a, nil
}

func (a *Audit) takeOverLocked(c Change) {
	switch {
	case c.Failed != "" && c.What == "":
		a.failLocked(c.Seq, c.Failed)
	case c.Seq > a.seq: // else its write was tried twice
		a.seq = c.Seq
		a.pushLocked(c)
	}
}

// Begin writes what is about to be changed by the caller of ctx. Call the function it returns with how it went.
func (a *Audit) Begin(ctx context.Context, what, before, after string) (end func(error)) {
	c := Change{At: time.Now().UTC(), Who: Caller(ctx).String(), What: EscapeTo(what, maxChange), Before: EscapeTo(before, maxChange), After: EscapeTo(after, maxChange)}
	a.mu.Lock()
	a.seq++
	c.Seq = a.seq
	a.pushLocked(c)
	wait := a.enqueueLocked(c)
	a.mu.Unlock()
	wait()
	return func(err error) {
		if err != nil {
			a.fail(c.Seq, EscapeTo(err.Error(), maxChange))
		}
	}
}

func (a *Audit) fail(seq uint64, why string) {
	a.mu.Lock()
	a.failLocked(seq, why)
	wait := a.enqueueLocked(Change{Seq: seq, At: time.Now().UTC(), Failed: why})
	a.mu.Unlock()
	wait()
}

func (a *Audit) failLocked(seq uint64, why string) {
	for i := len(a.ring) - 1; i >= 0; i-- {
		if a.ring[i].Seq == seq {
			a.ring[i].Failed = why
			return
		}
	}
}

func (a *Audit) pushLocked(c Change) {
	if len(a.ring) >= a.opts.Keep {
		a.ring = slices.Delete(a.ring, 0, 1)
	}
	a.ring = append(a.ring, c)
}

// Last lists the newest changes, the newest first.
func (a *Audit) Last(limit int) []Change {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := slices.Clone(a.ring[max(0, len(a.ring)-limit):])
	slices.Reverse(out)
	return out
}

// Waiting is how many lines are not in the file yet. More than none for more than a moment means trouble with the disk.
func (a *Audit) Waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.pending)
}
