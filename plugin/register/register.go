// Package register is the small file a handler process shares with its host: what runs in each slot, since when. The process
// writes an entry before a handler starts and after it returned; the entry outlives the process, so the host can tell after a
// death which attempt ran, which had finished and which never began. It is written by plugin/sdk and read by plugin/host.
//
// Layout, all numbers little-endian and 8-byte aligned: a 64-byte header {magic "STEMREG1", slots uint32, zeros}, then one
// 32-byte entry per slot {seq uint64, started int64 in microseconds since the Unix epoch, state uint64, cpu uint64: the process's CPU
// time at the start in microseconds, 0: not known}.
package register

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	magic     = "STEMREG1"
	header    = 64
	entrySize = 32
	maxSlots  = 1 << 16
)

// State of a slot.
type State uint64

const (
	// Free: nothing ran here yet.
	Free State = 0
	// Running: the handler of Seq has started and not returned.
	Running State = 1
	// Done: the handler of Seq has returned. The entry stays until the slot's next Begin.
	Done State = 2
)

// Entry is one slot at one moment.
type Entry struct {
	Seq     uint64
	Started time.Time
	State   State
	CPU     time.Duration // of the process, at the start or a millisecond before, when it has one slot; 0: not known
}

// Register is a process's view of its own register. Begin and End of different slots may be called concurrently; a slot belongs
// to one handler at a time. No method may be called during or after Close.
type Register struct {
	mem   []byte
	slots []slot

	// Of a process of one slot: its CPU time, and when that was asked for.
	cpu   uint64
	asked time.Time
}

// cpuEvery is how old a process's CPU time may be at the start of an attempt: asking costs a system call, much beside a fast handler.
const cpuEvery = time.Millisecond

// slot is one entry in shared memory. Its fields are accessed atomically only.
type slot struct {
	seq     uint64
	started int64
	state   uint64
	cpu     uint64
}

// Open maps the register the host created at path.
func Open(path string) (*Register, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, header)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("register: %s: no header: %w", path, err)
	}
	n, err := parseHeader(head)
	if err != nil {
		return nil, fmt.Errorf("register: %s: %w", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	size := header + n*entrySize
	if info.Size() < int64(size) {
		return nil, fmt.Errorf("register: %s: %d bytes, want %d for %d slots", path, info.Size(), size, n)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("register: map %s: %w", path, err)
	}
	// A mapping starts on a page and the header is a multiple of the entries' alignment.
	return &Register{mem: mem, slots: unsafe.Slice((*slot)(unsafe.Pointer(&mem[header])), n)}, nil
}

func parseHeader(b []byte) (slots int, err error) {
	if string(b[:len(magic)]) != magic {
		return 0, fmt.Errorf("not a register: starts with %q", b[:len(magic)])
	}
	n := binary.LittleEndian.Uint32(b[len(magic):])
	if n < 1 || n > maxSlots {
		return 0, fmt.Errorf("%d slots, want 1 to %d", n, maxSlots)
	}
	return int(n), nil
}

// Slots is how many handlers may run at once.
func (r *Register) Slots() int { return len(r.slots) }

// Begin notes that the handler of attempt seq starts in slot. A death half-way leaves the slot without a running attempt: the
// handler has not been entered yet.
func (r *Register) Begin(slot int, seq uint64, started time.Time) {
	s := &r.slots[slot]
	atomic.StoreUint64(&s.seq, seq)
	atomic.StoreInt64(&s.started, started.UnixMicro())
	if len(r.slots) == 1 { // among several it would be everybody's
		if age := started.Sub(r.asked); age < 0 || age >= cpuEvery {
			r.cpu, r.asked = processCPU(), started
		}
		atomic.StoreUint64(&s.cpu, r.cpu)
	}
	atomic.StoreUint64(&s.state, uint64(Running))
}

// processCPU is the CPU time of this process in microseconds.
func processCPU() uint64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) != nil {
		return 0
	}
	return uint64(t.Nano() / 1000)
}

// End notes that the handler in slot has returned.
func (r *Register) End(slot int) { atomic.StoreUint64(&r.slots[slot].state, uint64(Done)) }

// Snapshot reads all slots.
func (r *Register) Snapshot() []Entry {
	entries := make([]Entry, len(r.slots))
	for i := range r.slots {
		s := &r.slots[i]
		entries[i] = Entry{
			Seq:     atomic.LoadUint64(&s.seq),
			Started: time.UnixMicro(atomic.LoadInt64(&s.started)),
			State:   State(atomic.LoadUint64(&s.state)),
			CPU:     time.Duration(atomic.LoadUint64(&s.cpu)) * time.Microsecond,
		}
	}
	return entries
}

// Close unmaps the register; the file stays.
func (r *Register) Close() error {
	if r.mem == nil {
		return errors.New("register: already closed")
	}
	mem := r.mem
	r.mem, r.slots = nil, nil
	return unix.Munmap(mem)
}
