package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// userCount is how many users there are from UIDBase on, and so the most
// containers that run on a machine at once, each as a user of its own.
const userCount = 1 << 16

// usersFile is shared by all nodes of a machine, whoever started them. It is empty.
const usersFile = "/run/forewarm.uids"

// users gives each container a user whom no other container of the machine has.
//
// A user is taken by a lock on the byte of its number in usersFile. The lock
// belongs to the opened file, which a node has from its starter and shares with
// its watchdog. So a user is free again only when nobody is left who would clean
// up after its container. They are given out in turn: what one left behind in
// /tmp should not soon belong to another.
//
// Nil gives out user 0, which stands for no user of its own.
type users struct {
	file *os.File
	base int

	mu    sync.Mutex
	next  int          // from base on; guarded by mu
	taken map[int]bool // by containers of this node; guarded by mu
}

func newUsers(file *os.File, base int) *users {
	return &users{file: file, base: base, next: rand.IntN(userCount), taken: map[int]bool{}}
}

// openUsers is for a node's starter: each node has to lock in a file of its own opening.
func openUsers() (*os.File, error) {
	return os.OpenFile(usersFile, os.O_CREATE|os.O_RDWR, 0o600)
}

func (u *users) take() (int, error) {
	if u == nil {
		return 0, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for range userCount {
		user := u.base + u.next
		u.next = (u.next + 1) % userCount
		if u.taken[user] {
			continue
		}
		switch err := u.lock(user, unix.F_WRLCK); {
		case err == nil:
			u.taken[user] = true
			return user, nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES):
			return 0, fmt.Errorf("take a user: lock %s: %w", usersFile, err)
		}
	}
	return 0, fmt.Errorf("all users from %d to %d have containers", u.base, u.base+userCount-1)
}

func (u *users) give(user int) {
	if u == nil || user == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.taken, user)
	_ = u.lock(user, unix.F_UNLCK) // what could fail has failed at the taking
}

func (u *users) lock(user int, kind int16) error {
	return unix.FcntlFlock(u.file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: kind, Start: int64(user), Len: 1})
}
