package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ports picks the ports that containers are told to listen on.
//
// A port cannot be handed over: between our probe and the function's own bind
// somebody else may take it. So three things keep that rare and harmless. Ports
// are drawn at random from outside the range that the kernel gives to outgoing
// connections, which are by far the most frequent takers (and a connection to
// such a port cannot meet itself while nobody listens yet). Each is probed. And
// a container that starts is believed only if the listener is its own, and is
// started again on another port if it is not, or if it failed and said that its
// address is in use: see awaitReady.
type ports struct {
	first, last int

	mu    sync.Mutex
	taken map[int]bool // by containers of this node; guarded by mu
}

func newPorts() *ports {
	p := &ports{taken: map[int]bool{}}
	data, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	p.first, p.last = outside(string(data))
	return p
}

// outside gives the larger range that is free of outgoing connections, or a part
// of theirs when they have nearly everything. Ports below 10000 are often spoken for.
func outside(ephemeral string) (first, last int) {
	const low, high, enough = 10_000, 65_535, 2_000
	from, to := 32_768, 60_999 // the kernel's default
	if f := strings.Fields(ephemeral); len(f) == 2 {
		from, _ = strconv.Atoi(f[0])
		to, _ = strconv.Atoi(f[1])
	}
	switch below, above := from-low, high-to; {
	case max(below, above) < enough:
		return low, high
	case below >= above:
		return low, from - 1
	default:
		return to + 1, high
	}
}

// take finds a port that nobody uses.
func (p *ports) take() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 1000 {
		port := p.first + rand.IntN(p.last-p.first+1)
		if !p.taken[port] && bindable(port) {
			p.taken[port] = true
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d", p.first, p.last)
}

func (p *ports) give(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taken, port)
}

// bindable tries a port without listening on it, so that nobody can connect meanwhile.
func bindable(port int) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet4{Port: port}) == nil
}

var errPortTaken = errors.New("the port was taken by another process")
