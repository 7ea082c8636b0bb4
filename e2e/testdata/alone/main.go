// Command alone is a function that must have its container to itself: it answers "alone", or "together" when another
// call ran in the same container at any time of its own.
package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "alone:", err)
		os.Exit(1)
	}
}

func run() error {
	start, err := time.ParseDuration(os.Getenv("START"))
	if err != nil {
		return err
	}
	time.Sleep(start)
	var a attendance
	return http.ListenAndServe(net.JoinHostPort("127.0.0.1", os.Getenv("PORT")), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		began := a.enter()
		time.Sleep(20*time.Millisecond + rand.N(150*time.Millisecond))
		fmt.Fprint(w, map[bool]string{true: "together", false: "alone"}[a.leave(began)])
	}))
}

// attendance knows whether calls met.
type attendance struct {
	mu       sync.Mutex
	in, came int // calls that run, and that ever came; guarded by mu
}

func (a *attendance) enter() (came int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.in++
	a.came++
	if a.in > 1 {
		return -1
	}
	return a.came
}

// leave says whether another call was there.
func (a *attendance) leave(came int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.in--
	return came != a.came
}
