package edge

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// A port in use is an error, unless it is to be taken over: then connections reach both who listen, and only the one
// that is left once the other has closed.
func TestTakeAPortOver(t *testing.T) {
	old, err := Listen(Options{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	addr := old.Addr().String()
	if l, err := Listen(Options{Addr: addr}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("a port in use, not to be taken over: %v, %v, want EADDRINUSE", l, err)
	}
	next, err := Listen(Options{Addr: addr, Join: true})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if l, err := Listen(Options{Addr: addr}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("a port that two listen on: %v, %v, want EADDRINUSE", l, err)
	}
	accepted := make(chan net.Listener, 200)
	for _, l := range []net.Listener{old, next} {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
				accepted <- l
			}
		}()
	}
	// connect counts who takes connections; by the kernel's hash of their ports, never all to one of two in 200.
	connect := func(n int) (ofOld, ofNext int) {
		t.Helper()
		for range n {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			select {
			case l := <-accepted:
				if l == old {
					ofOld++
				} else {
					ofNext++
				}
			case <-time.After(5 * time.Second):
				t.Fatal("a connection is not taken")
			}
		}
		return ofOld, ofNext
	}
	if a, b := connect(200); a == 0 || b == 0 {
		t.Errorf("of 200 connections %d reach the old and %d the new one, want both some", a, b)
	}
	old.Close()
	if a, b := connect(50); a != 0 || b != 50 {
		t.Errorf("after the old one closed %d reach it and %d the new one", a, b)
	}
}
