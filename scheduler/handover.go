package scheduler

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/forewarm/forewarm/dispatcher"
	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
)

// A running scheduler is replaced by another one on the same ports in four steps. The new one asks for that over a
// socket beside the state file, which only who may write that file can reach: so there is no token to present, and no
// process id that could be someone else's by then. It opens both ports next to the old one. The old one stops to
// accept, finishes what it was asked, writes what it knows and closes the state, but leaves nodes and containers as
// they are. The new one takes them over as after a crash, with nothing lost, and then serves those who have connected
// to it meanwhile.

// Bounds of a handover. All of it has to fit into the five seconds that a gateway gives a connection to come about.
const (
	handOverWait = 200 * time.Millisecond // for calls that wait for a container at the old scheduler; all others wait for them
	settleWait   = 100 * time.Millisecond // for containers that are being started or stopped then
	answerWait   = 5 * time.Second        // until the old one is gone, as the new one sees it
)

// handoverSocket is the path beside the state file.
func handoverSocket(state string) string { return state + ".handover" }

// ErrNoneRuns means that there is nobody to take over from.
var ErrNoneRuns = errors.New("no scheduler that could hand over runs on it; start without --takeover")

// replaceRunning opens the ports beside a running scheduler and has it hand over. When it returns, that one has let
// go of the state.
func (s *Scheduler) replaceRunning() error {
	if !s.opts.Takeover {
		return nil
	}
	if s.opts.State == "" {
		return errors.New("scheduler: to take over from a running one its state file is needed; give it with --state")
	}
	c, err := net.Dial("unix", handoverSocket(s.opts.State))
	if err != nil {
		return fmt.Errorf("scheduler: state file %s: %w (%w)", s.opts.State, ErrNoneRuns, err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(answerWait)); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); line != greeting {
		return fmt.Errorf("scheduler: the running one does not answer: %q: %w", line, err)
	}
	if err := s.openPorts(); err != nil {
		return err
	}
	began := time.Now()
	if _, err := io.WriteString(c, goAhead); err != nil {
		return fmt.Errorf("scheduler: the running one does not hand over: %w", err)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) { // it says no more, but ends
		return fmt.Errorf("scheduler: the running one did not hand over within %v: %w", answerWait, err)
	}
	s.log.Info("the running scheduler has handed over", "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// What is said over the socket.
const (
	greeting = "forewarm hands over\n"
	goAhead  = "go ahead\n"
)

// successor waits for one who wants to take over, until ctx ends. Its connection is to be closed when the state is.
func (s *Scheduler) successor(ctx context.Context) <-chan net.Conn {
	came := make(chan net.Conn, 1)
	if s.state == nil {
		return came
	}
	path := handoverSocket(s.opts.State)
	_ = os.Remove(path) // of one that was killed; we have the state
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		s.log.Warn("this scheduler cannot be replaced while it runs", "error", err)
		return came
	}
	s.background.Go(func() {
		defer context.AfterFunc(ctx, func() { l.Close() })()
		defer l.Close()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if err := agree(c); err != nil {
				s.log.Warn("somebody asked for a handover and it did not come about", "error", err)
				c.Close()
				continue
			}
			came <- c
			return
		}
	})
	return came
}

// agree lets only a process of the same user, or root's, take over, and waits until it has opened the ports.
func agree(c net.Conn) error {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	if e := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil || err != nil {
		return errors.Join(e, err)
	}
	if uid := int(peer.Uid); uid != 0 && uid != os.Getuid() {
		return fmt.Errorf("it is a process of user %d", uid)
	}
	if err := c.SetDeadline(time.Now().Add(answerWait)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, greeting); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if line != goAhead {
		return fmt.Errorf("it went away: %w", err)
	}
	return c.SetDeadline(time.Time{})
}

// handOver finishes what this scheduler was asked, and leaves the cluster as it is.
func (s *Scheduler) handOver() {
	s.log.Info("handing over to a new scheduler")
	s.closing.Store(true)
	s.health.Shutdown()
	defer time.AfterFunc(handOverWait, s.losePatience).Stop()
	defer time.AfterFunc(handOverWait+leave, s.grpc.Stop).Stop() // for watches of the health, which do not end by themselves
	s.grpc.GracefulStop()                                        // returns when every handler has
	for began := time.Now(); time.Since(began) < settleWait && !s.settled(); {
		time.Sleep(time.Millisecond)
	}
	if s.http != nil {
		_ = s.http.Close() // readers of metrics may be cut off
	}
}

// settled says whether no container is being started or stopped.
func (s *Scheduler) settled() bool {
	for id := range s.Shell.Core().Count() {
		if f, ok := s.Shell.Core().Function(s.Shell.Now(), dispatcher.FnID(id)); ok && f.Starting+f.Stopping > 0 {
			return false
		}
	}
	return true
}

// impatient ends calls that wait for a container while the scheduler hands over: they are told to come again, which
// leads them to the new one.
func (s *Scheduler) impatient(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if info.FullMethod != schedulerproto.Scheduler_AcquireContainer_FullMethodName {
		return next(ctx, request)
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.patience, cancel)()
	reply, err := next(inner, request)
	if err != nil && s.patience.Err() != nil && ctx.Err() == nil {
		return nil, status.Error(codes.Unavailable, "a new scheduler takes over; ask again, with the same request id")
	}
	return reply, err
}
