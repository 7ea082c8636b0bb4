package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// listener is a socket that listens.
type listener struct {
	inode string
	user  int
}

// listensAs says whether a socket of the user listens on the port. Sockets belong to who made them.
func listensAs(user, port int) bool {
	return slices.ContainsFunc(listeners(uint16(port)), func(l listener) bool { return l.user == user })
}

// listens says whether one of the processes holds a socket that listens on the port.
func listens(pids []int, port int) bool {
	all := listeners(uint16(port))
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		files, _ := os.ReadDir(dir)
		for _, file := range files {
			target, err := os.Readlink(dir + "/" + file.Name())
			if err != nil {
				continue
			}
			inode, ok := strings.CutPrefix(strings.TrimSuffix(target, "]"), "socket:[")
			if ok && slices.ContainsFunc(all, func(l listener) bool { return l.inode == inode }) {
				return true
			}
		}
	}
	return false
}

// listeners finds the sockets that listen on a port.
func listeners(port uint16) []listener {
	var all []listener
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		found, err := askKernel(family, port)
		if err != nil { // no sock_diag in this kernel
			return readTables(port)
		}
		all = append(all, found...)
	}
	return all
}

const listening = 10 // TCP_LISTEN in the kernel's numbering, and its bit in sets of states

// askKernel lists listeners by netlink (sock_diag(7)). Reading /proc/net/tcp would
// be simpler and takes 15 ms, since it walks through room for all connections
// that the machine could have.
func askKernel(family byte, port uint16) ([]listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	const byFamily, requestSize = 20, unix.SizeofNlMsghdr + 56 // SOCK_DIAG_BY_FAMILY; struct inet_diag_req_v2
	request := make([]byte, requestSize)
	binary.NativeEndian.PutUint32(request[0:], requestSize)
	binary.NativeEndian.PutUint16(request[4:], byFamily)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request[16], request[17] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(request[20:], 1<<listening)
	binary.BigEndian.PutUint16(request[24:], port)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var all []listener
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			return nil, err
		}
		found, last, err := parseSockets(buffer[:n], port)
		all = append(all, found...)
		if last || err != nil {
			return all, err
		}
	}
}

// parseSockets reads netlink messages that hold struct inet_diag_msg; last says that no more will come.
func parseSockets(data []byte, port uint16) (all []listener, last bool, err error) {
	const portAt, userAt, inodeAt, size = unix.SizeofNlMsghdr + 4, unix.SizeofNlMsghdr + 64, unix.SizeofNlMsghdr + 68, unix.SizeofNlMsghdr + 72
	for len(data) >= unix.SizeofNlMsghdr {
		length := int(binary.NativeEndian.Uint32(data))
		switch kind := binary.NativeEndian.Uint16(data[4:]); {
		case length < unix.SizeofNlMsghdr || length > len(data):
			return all, true, errors.New("a netlink message is cut off")
		case kind == unix.NLMSG_DONE:
			return all, true, nil
		case kind == unix.NLMSG_ERROR:
			return all, true, errors.New("the kernel refuses to list sockets")
		case length >= size && binary.BigEndian.Uint16(data[portAt:]) == port:
			all = append(all, listener{
				inode: strconv.FormatUint(uint64(binary.NativeEndian.Uint32(data[inodeAt:])), 10),
				user:  int(binary.NativeEndian.Uint32(data[userAt:])),
			})
		}
		data = data[min(len(data), (length+3)&^3):] // aligned to 4
	}
	return all, false, nil
}

// readTables does the same by /proc.
func readTables(port uint16) []listener {
	var all []listener
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		data, _ := os.ReadFile(table)
		for line := range strings.Lines(string(data)) {
			const local, state, user, inode = 1, 3, 7, 9 // columns, see proc(5)
			f := strings.Fields(line)
			if len(f) > inode && f[state] == fmt.Sprintf("%02X", listening) && strings.HasSuffix(f[local], fmt.Sprintf(":%04X", port)) {
				id, _ := strconv.Atoi(f[user])
				all = append(all, listener{f[inode], id})
			}
		}
	}
	return all
}
