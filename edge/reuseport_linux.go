package edge

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// join lets a port be opened that a process of the same user listens on, if that one shared it.
func join(_, _ string, c syscall.RawConn) error { return reusePort(c) }

// share lets a process of the same user open the port as well, so that it can be handed over without a moment in
// which nobody listens. It is set when the port was opened, alone: so whoever opens one in use by mistake is told.
func share(l net.Listener) error {
	c, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	return reusePort(c)
}

func reusePort(c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
		return e
	}
	return err
}
