package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	retryEvery = 5 * time.Second // how soon lines that could not be written are tried again
	closeTime  = 2 * time.Second // that the disk gets at the end
)

// Run tries again to write what could not be written, until ctx ends. Without it, the next change does.
func (a *Audit) Run(ctx context.Context) error {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.retry()
		}
	}
}

// retry has the lines written that are not in the file, and returns what is closed when that was tried; nil when there
// are none.
func (a *Audit) retry() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writeLocked()
	return a.writer
}

// Close writes what is not in the file yet, as long as the disk takes it, and closes the file. Changes must have ended.
func (a *Audit) Close() error {
	if a.file == nil {
		return nil
	}
	if tried := a.retry(); tried != nil {
		select {
		case <-tried:
		case <-time.After(closeTime):
			return fmt.Errorf("edge: audit log: %s did not take %d lines within %v", a.opts.File, a.Waiting(), closeTime)
		}
	}
	var err error
	if n := a.Waiting(); n > 0 {
		err = fmt.Errorf("edge: audit log: %d lines are not in %s", n, a.opts.File)
	}
	return errors.Join(err, a.file.close())
}

// enqueueLocked has a line written, and returns what waits for that. The oldest lines are given up when the file cannot
// be written for long.
func (a *Audit) enqueueLocked(c Change) (wait func()) {
	if a.file == nil {
		return func() {}
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings, numbers and a time of ours
	}
	if len(a.pending) >= a.opts.Keep {
		a.pending = a.pending[1:]
		a.opts.Lost(1)
	}
	l := pendingLine{append(text, '\n'), make(chan struct{})}
	a.pending = append(a.pending, l)
	a.writeLocked()
	written, gaveUp := l.done, a.writer
	return func() { waitFor(written, gaveUp) }
}

func waitFor(written, gaveUp <-chan struct{}) {
	t := time.NewTimer(diskTime)
	defer t.Stop()
	select {
	case <-written:
	case <-gaveUp:
	case <-t.C:
	}
}

// writeLocked starts the one goroutine that writes, unless it runs; it ends with the last line, or at an error.
func (a *Audit) writeLocked() {
	if a.writer != nil || len(a.pending) == 0 {
		return
	}
	ended := make(chan struct{})
	a.writer = ended
	go func() {
		defer close(ended)
		for a.writeOne() {
		}
	}()
}

func (a *Audit) writeOne() (more bool) {
	a.mu.Lock()
	if len(a.pending) == 0 {
		a.writer = nil
		a.mu.Unlock()
		return false
	}
	l := a.pending[0]
	a.mu.Unlock() // disk and log may hang; changes go on meanwhile
	err := a.file.append(l.text)
	a.report(err)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.writer = nil
		return false
	}
	close(l.done)
	if len(a.pending) > 0 && a.pending[0].done == l.done { // else it was given up while it was written
		a.pending = a.pending[1:]
	}
	return true
}

// report says once that the file cannot be written, and once that it can again.
func (a *Audit) report(err error) {
	switch {
	case err != nil && !a.failing:
		a.opts.Log.Error("the audit log cannot be written; changes are kept in memory and go on", "file", a.opts.File, "error", err)
	case err == nil && a.failing:
		a.opts.Log.Info("the audit log can be written again", "file", a.opts.File)
	}
	a.failing = err != nil
}
