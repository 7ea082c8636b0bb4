package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/forewarm/forewarm/catalog"
)

// Reply is what came of a call.
type Reply struct {
	RequestID string              // of the scheduler's lease; the last one where there were two
	Status    int                 // HTTP status that the function answered with, 200..599; 0 where it did not answer
	Headers   map[string][]string // of the function
	Body      []byte
	Error     string // the function's own error, in its words; "" where it had none
	Log       string // what it printed during the call, where the node tells

	Start     string        // how the call met its container: warm, waited or cold; "" where the scheduler does not tell
	Wait      time.Duration // for the container, by the scheduler's clock; means something where Start does
	Acquire   time.Duration // for the container, by our own clock: the wait and the way there and back
	Container string        // the node's name of the container
	Node      string        // the manager's name of the node
	Duration  time.Duration // of the function
	MaxMemory int64         // bytes that the container used at most; 0: not measured
}

// returnWait is how long an answer is held back for the container's return. The caller's next call shall find the
// container free; but it does not pay for a scheduler that is slow to answer.
const returnWait = 50 * time.Millisecond

// Invoke calls a function. An account of "" is the default one. The event must not be changed even after Invoke
// returned early, because ctx ended.
//
// When the node is lost before it took the call, another container is tried, once. A node that does not say when it
// takes a call (by gRPC's initial metadata) counts as not having taken it until the first piece of its answer, so on
// such a node a function may run twice.
//
// With an error comes what is known of the call, nil where it never got a request id. A function that answers, be
// it with an error of its own, is no error of Invoke.
func (s *Server) Invoke(ctx context.Context, account, function string, event []byte) (*Reply, error) {
	f, account, err := s.check(account, function, event)
	if err != nil {
		return nil, err
	}
	if !s.begin() {
		return nil, fmt.Errorf("call of %q: %w: the gateway is stopping", function, ErrUnavailable)
	}
	defer s.running.Done()
	r, err := s.attempt(ctx, account, f, event)
	if errors.Is(err, errNotReached) {
		r, err = s.attempt(ctx, account, f, event)
	}
	if err != nil {
		return r, fmt.Errorf("call of %q: %w", function, err)
	}
	return r, nil
}

// check finds the function and the account of a call.
func (s *Server) check(account, function string, event []byte) (*catalog.Function, string, error) {
	f := s.book.Load().byName[function]
	if f == nil {
		return nil, "", fmt.Errorf("%w %q: %s", ErrUnknownFunction, function, s.known(function))
	}
	if account == "" {
		account = s.opts.Account
	} else if err := checkAccount(account); err != nil {
		return nil, "", err
	}
	if int64(len(event)) > s.opts.MaxBody {
		return nil, "", s.tooLarge()
	}
	return f, account, nil
}

func (s *Server) tooLarge() error {
	return fmt.Errorf("%w: send at most %d bytes", ErrTooLarge, s.opts.MaxBody)
}

// checkAccount refuses what would not survive the wire, or would blow up every record it is kept in.
func checkAccount(a string) error {
	const most = 128
	if len(a) > most || strings.ContainsFunc(a, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return fmt.Errorf("%w: an account is 1 to %d printable ASCII characters without blanks, not %.40q", ErrInvalid, most, a)
	}
	return nil
}

// known tells somebody who asked for a function that is not there which ones are.
func (s *Server) known(asked string) string {
	const most = 20 // names
	var b strings.Builder
	c := s.book.Load().catalog
	if near, ok := c.Nearest(asked); ok {
		fmt.Fprintf(&b, "did you mean %q? ", near)
	}
	b.WriteString("known: ")
	fs := c.Functions
	for i, f := range fs[:min(len(fs), most)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.Name)
	}
	if len(fs) > most {
		fmt.Fprintf(&b, " and %d more", len(fs)-most)
	}
	return b.String()
}

// attempt makes the call with one lease.
func (s *Server) attempt(ctx context.Context, account string, f *catalog.Function, event []byte) (*Reply, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: the caller left before it began", why(ctx))
	}
	id := s.ids.next()
	var had atomic.Pointer[lease] // set once there is one
	var out outcome               // written before done is closed
	done, returned := make(chan struct{}), make(chan struct{})
	s.running.Go(func() {
		defer close(returned)
		began := time.Now()
		l, err := s.acquire(ctx, id, account, f)
		if err != nil {
			out = outcome{reply: &Reply{RequestID: id}, err: err}
			close(done)
			return
		}
		l.asked = time.Since(began)
		had.Store(l)
		if ctx.Err() != nil { // nobody wants the answer
			s.giveBack(l, outcome{reply: l.reply()})
			return
		}
		out = s.run(l, f, event)
		close(done)
		s.giveBack(l, out)
	})
	select {
	case <-done:
	case <-ctx.Done():
		if l := had.Load(); l != nil {
			return l.reply(), fmt.Errorf("%w: the caller does not wait for the function any longer", why(ctx))
		}
		return &Reply{RequestID: id}, fmt.Errorf("%w: the caller does not wait for a container any longer", why(ctx))
	}
	t := time.NewTimer(returnWait)
	defer t.Stop()
	select {
	case <-returned:
	case <-t.C:
	case <-ctx.Done():
	}
	return out.reply, out.err
}
