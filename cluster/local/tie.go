package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// tieFD names the tie's file descriptor in the child's environment.
const tieFD = "FOREWARM_TIE_FD"

// Tie makes a command that is about to be started end with this process, however
// this process ends: the child holds the read end of a pipe whose other end is
// only here, and Tied in the child notices when it is gone. Call release after
// the command has ended.
//
// It is for roles of this program that run as children, such as the manager
// below "forewarm up"; a manager that ends takes its nodes along.
func Tie(cmd *exec.Cmd) (release func(), err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("tie a process: %w", err)
	}
	r, w := os.NewFile(uintptr(ends[0]), "tie"), ends[1] // w is no os.File: one that nobody refers to gets closed
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, r)
	cmd.Env = append(cmd.Env, tieFD+"="+strconv.Itoa(2+len(cmd.ExtraFiles)))
	return func() {
		r.Close()
		unix.Close(w)
	}, nil
}

// Tied returns a context that ends when the process that tied this one is gone;
// without a tie it is ctx. Call it early in main, once.
func Tied(ctx context.Context) context.Context {
	fd, err := strconv.Atoi(os.Getenv(tieFD))
	if err != nil || fd <= 2 {
		return ctx
	}
	os.Unsetenv(tieFD) // it is not for those that we start
	tie := inherited(fd, "tie")
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, tie)
		cancel(errors.New("the process that started this one is gone"))
	}()
	return ctx
}
