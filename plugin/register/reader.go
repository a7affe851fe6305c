package register

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Reader is the host's view of a register. It reads the file and never maps it: a process that truncates its register must not
// take its host down with SIGBUS. Methods are for one goroutine at a time.
type Reader struct {
	f     *os.File
	slots int
	buf   []byte
}

// Create makes the register of a process with so many slots at path, readable by its owner only. All of it is allocated, so a
// full file system fails here and not later in the process.
func Create(path string, slots int) (*Reader, error) {
	if slots < 1 || slots > maxSlots {
		return nil, fmt.Errorf("register: %d slots, want 1 to %d", slots, maxSlots)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	size := header + slots*entrySize
	zeros := make([]byte, size)
	copy(zeros, magic)
	binary.LittleEndian.PutUint32(zeros[len(magic):], uint32(slots))
	if _, err := f.WriteAt(zeros, 0); err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return nil, fmt.Errorf("register: %w", err)
	}
	return &Reader{f: f, slots: slots, buf: make([]byte, size-header)}, nil
}

// Snapshot reads all slots. While the process lives an entry may be torn between two attempts of its slot; Find gives a
// consistent one.
func (r *Reader) Snapshot() ([]Entry, error) {
	// Reads and writes of one page of a file are coherent with its shared mappings, also after the process that wrote died.
	n, err := unix.Pread(int(r.f.Fd()), r.buf, header)
	if err != nil {
		return nil, fmt.Errorf("register: read: %w", err)
	}
	if n != len(r.buf) {
		return nil, fmt.Errorf("register: %d bytes left of %d: the process cut it", n, len(r.buf))
	}
	entries := make([]Entry, r.slots)
	for i := range entries {
		b := r.buf[i*entrySize:]
		entries[i] = Entry{
			Seq:     binary.LittleEndian.Uint64(b),
			Started: time.UnixMicro(int64(binary.LittleEndian.Uint64(b[8:]))),
			State:   State(binary.LittleEndian.Uint64(b[16:])),
			CPU:     time.Duration(binary.LittleEndian.Uint64(b[24:])) * time.Microsecond,
		}
	}
	return entries, nil
}

// Find returns the entry of attempt seq, read consistently while the process runs; false when no slot holds it: it has not
// started, or its slot has gone on to another attempt.
func (r *Reader) Find(seq uint64) (Entry, bool, error) {
	for {
		entries, err := r.Snapshot()
		if err != nil {
			return Entry{}, false, err
		}
		i := slices.IndexFunc(entries, func(e Entry) bool { return e.Seq == seq && e.State != Free })
		if i < 0 {
			return Entry{}, false, nil
		}
		again, err := r.Snapshot()
		if err != nil {
			return Entry{}, false, err
		}
		if again[i] == entries[i] {
			return again[i], true, nil
		}
	}
}

// Close closes the file and leaves it where it is.
func (r *Reader) Close() error { return r.f.Close() }
