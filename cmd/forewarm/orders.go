package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/forewarm/forewarm/catalog"
)

// A role's functions change in one of two ways, which end in the same call. Alone, it reads its file anew on SIGHUP.
// Below "up" it is told by its starter, over a socket that it inherits: the starter has to hear that one role is done
// before it turns to the next, and a socket without a name is one that no function can write to.

// ordersFD names, in a role's environment, the descriptor over which its starter tells it of changes. It does not begin
// with FOREWARM_, as settings do.
const ordersFD = "ORDERS_FD_OF_UP"

// orderLimit is what a role gets to answer in; it writes a few small files at most.
const orderLimit = 10 * time.Second

// orders is the starter's end.
type orders struct{ client *rpc.Client }

// withOrders gives a command that is about to be started the other end. Release after the start, however that went,
// closes it here.
func withOrders(cmd *exec.Cmd) (o *orders, release func(), err error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket for orders: %w", err)
	}
	mine, theirs := os.NewFile(uintptr(ends[0]), "orders"), os.NewFile(uintptr(ends[1]), "orders")
	conn, err := net.FileConn(mine) // a copy
	mine.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("socket for orders: %w", err)
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
	cmd.Env = append(cmd.Env, ordersFD+"="+strconv.Itoa(2+len(cmd.ExtraFiles)))
	return &orders{rpc.NewClient(conn)}, func() { theirs.Close() }, nil
}

// setFunctions returns when the role goes by c.
func (o *orders) setFunctions(c *catalog.Catalog) error {
	t := time.NewTimer(orderLimit)
	defer t.Stop()
	select {
	case call := <-o.client.Go("Orders.SetFunctions", c, new(bool), make(chan *rpc.Call, 1)).Done:
		return call.Error
	case <-t.C:
		return fmt.Errorf("no answer within %v", orderLimit)
	}
}

// taker is the role's end.
type taker struct {
	set func(*catalog.Catalog) error
	log *slog.Logger
}

// SetFunctions is called by the starter.
func (t *taker) SetFunctions(c *catalog.Catalog, _ *bool) error { return t.set(c) }

// follow keeps a role's functions up to date until ctx ends: by its starter's orders, and by its file on SIGHUP. Call
// it before the role serves. A file that cannot be used changes nothing.
func follow(ctx context.Context, file string, log *slog.Logger, set func(*catalog.Catalog) error) {
	t := &taker{set, log}
	t.takeOrders()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hangup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				t.reread(file)
			}
		}
	}()
}

func (t *taker) reread(file string) {
	c, err := load(file)
	if err == nil {
		err = t.set(c)
	}
	if err != nil {
		t.log.Error("the list of functions was not reloaded; the old one stays in force", "error", err)
		return
	}
	t.log.Info("list of functions reloaded", "functions", len(c.Functions))
}

// takeOrders serves the starter, where there is one that gives orders.
func (t *taker) takeOrders() {
	fd, err := strconv.Atoi(os.Getenv(ordersFD))
	if err != nil || fd <= 2 {
		return
	}
	os.Unsetenv(ordersFD) // it is not for those that we start, nor is the descriptor
	unix.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), "orders")
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		t.log.Error("orders cannot be taken", "error", err)
		return
	}
	server := rpc.NewServer()
	if err := server.RegisterName("Orders", t); err != nil {
		panic(err) // the methods are not what they should be
	}
	go server.ServeConn(conn)
}
