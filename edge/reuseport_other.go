//go:build !linux

package edge

import (
	"errors"
	"net"
	"syscall"
)

// join is not to be had: elsewhere new connections would not be shared out among those that listen.
func join(_, _ string, _ syscall.RawConn) error {
	return errors.New("a port can be taken over on Linux only")
}

func share(net.Listener) error { return nil }
