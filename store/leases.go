package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	leaseMagic  = "fwlease1"
	leaseHeader = 16 // magic, number of slots
	leaseSlots  = 1 << 16
)

// Leases is a memory-mapped file with the number of live leases of each container, by slot. A store to it is a
// store to memory; it survives the end of the process, kill -9 included, though not that of the machine, with
// which the containers end as well.
type Leases struct {
	file *os.File
	mem  []byte
	// Counts has a slot a container. The dispatcher's core writes it under the function's mutex.
	Counts []uint32
}

// OpenLeases maps the file at path, anew when it is not there or is not one of ours; fresh says so.
func OpenLeases(path string) (l *Leases, fresh bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("store: file of lease counts: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	size := int64(leaseHeader + 4*leaseSlots)
	head := make([]byte, leaseHeader)
	n, _ := f.ReadAt(head, 0) // a short one is not ours
	info, err := f.Stat()
	if err != nil {
		return nil, false, fmt.Errorf("store: file of lease counts: %w", err)
	}
	fresh = n != leaseHeader || string(head[:8]) != leaseMagic || info.Size() != size
	if fresh {
		if err := blank(f, size); err != nil {
			return nil, false, fmt.Errorf("store: file of lease counts %s: %w", path, err)
		}
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, false, fmt.Errorf("store: file of lease counts %s: %w", path, err)
	}
	counts := unsafe.Slice((*uint32)(unsafe.Pointer(&mem[leaseHeader])), leaseSlots)
	return &Leases{file: f, mem: mem, Counts: counts}, fresh, nil
}

// blank makes an empty file of all its blocks: a store to memory behind which there is none, on a disk that has filled
// up since, would be the end of the process.
func blank(f *os.File, size int64) error {
	all := make([]byte, size)
	copy(all, leaseMagic)
	binary.LittleEndian.PutUint64(all[8:], leaseSlots)
	_, err := f.WriteAt(all, 0)
	return errors.Join(f.Truncate(size), err)
}

// Close unmaps the file. Nobody may write Counts any more.
func (l *Leases) Close() error {
	l.Counts = nil
	return errors.Join(unix.Munmap(l.mem), l.file.Close())
}
