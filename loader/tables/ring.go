// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"vipd/loader/object"
)

// ring reads the events. Its goroutine waits on the map, puts a token into wake, and waits again only after a drain has
// answered the token.
type ring struct {
	reader *ringbuf.Reader
	wake   chan struct{} // one token is enough: a drain takes all there is
	rearm  chan struct{}
	stop   int // eventfd
	done   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	rec    ringbuf.Record
	claims []Claim // drained and not yet taken, like hellos
	hellos []HelloEvent
	// bodies has the payloads of the hellos, taken those of the hellos that were taken last.
	bodies, taken []byte
}

func openRing(m *ebpf.Map) (*ring, error) {
	reader, err := ringbuf.NewReader(m)
	if err != nil {
		return nil, fmt.Errorf("open the event ring: %w", err)
	}
	// In the past: reading never waits.
	reader.SetDeadline(time.Unix(1, 0))
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the event ring: %w", err), reader.Close())
	}
	r := &ring{reader: reader, wake: make(chan struct{}, 1), rearm: make(chan struct{}, 1), stop: stop}
	fds := []unix.PollFd{{Fd: int32(m.FD()), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
	r.done.Go(func() { r.watch(fds) })
	return r, nil
}

func (r *ring) watch(fds []unix.PollFd) {
	for {
		_, err := unix.Poll(fds, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || fds[1].Revents != 0 {
			return
		}
		r.wake <- struct{}{} // has room: the last token was taken before rearm
		if _, ok := <-r.rearm; !ok {
			return
		}
		select { // a token that was not answered must not be doubled
		case <-r.wake:
		default:
		}
	}
}

func (r *ring) close() error {
	var one [8]byte
	one[0], one[7] = 1, 1 // not zero in either byte order
	_, err := unix.Write(r.stop, one[:])
	r.mu.Lock()
	r.closed = true
	close(r.rearm)
	r.mu.Unlock()
	r.done.Wait()
	return errors.Join(err, unix.Close(r.stop), r.reader.Close())
}

// Wake delivers a token when events are waiting. Answer it with [Tables.Drain].
func (t *Tables) Wake() <-chan struct{} { return t.ring.wake }

// Drain appends all events that are in the ring now to dst, in the order of their kernel time. It never waits for more.
func (t *Tables) Drain(dst []Event) ([]Event, error) {
	r := t.ring
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return dst, object.ErrClosed
	}
	defer func() {
		select {
		case r.rearm <- struct{}{}:
		default: // armed already
		}
	}()
	first := len(dst)
	// A flood may add faster than this loop reads: read what was there on entry.
	for left := r.reader.AvailableBytes(); left > 0; left -= len(r.rec.RawSample) + ringHeader {
		err := r.reader.ReadInto(&r.rec)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return dst, fmt.Errorf("read the event ring: %w", err)
		}
		if err := r.decode(&dst); err != nil {
			return dst, err
		}
	}
	slices.SortStableFunc(dst[first:], func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return dst, nil
}

// ringHeader precedes each sample in the ring.
const ringHeader = 8

// decode appends the record to dst, to the claims or to the hellos: their lengths differ.
func (r *ring) decode(dst *[]Event) error {
	b := r.rec.RawSample
	var e object.BPFEvent
	var c object.BPFClaim
	var h object.BPFHello
	switch len(b) {
	case int(unsafe.Sizeof(e)):
		fill(&e, b)
		*dst = append(*dst, eventOf(&e))
	case int(unsafe.Sizeof(c)):
		fill(&c, b)
		if len(r.claims) < maxClaims {
			r.claims = append(r.claims, claimOf(&c))
		}
	case int(unsafe.Sizeof(h)):
		fill(&h, b)
		if len(r.hellos) < maxHellos {
			from := len(r.bodies)
			r.bodies = append(r.bodies, h.Data[:min(int(h.Len), len(h.Data))]...)
			r.hellos = append(r.hellos, helloOf(&h, r.bodies[from:]))
		}
	default:
		return fmt.Errorf("event of %d bytes, want %d, %d or %d: programs and daemon differ",
			len(b), unsafe.Sizeof(e), unsafe.Sizeof(c), unsafe.Sizeof(h))
	}
	return nil
}

// fill copies a record into its type.
func fill[T any](v *T, b []byte) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v)), b)
}
