// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// line is a sender with four interfaces: one that is up, one that is down, one that does not exist, and one without a
// listener at its other end. Frames that leave the first one arrive at the socket in.
type line struct {
	sender                 *Sender
	up, down, off, nowhere int
	in                     int
}

func newLine(t testing.TB) *line {
	t.Helper()
	ns, nl, _ := newNetwork(t)
	add := func(name string, up bool) int {
		v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}
		if err := nl.LinkAdd(v); err != nil {
			t.Fatal(err)
		}
		for _, n := range []string{name, name + "p"} {
			l, err := nl.LinkByName(n)
			if err == nil && up {
				err = nl.LinkSetUp(l)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		l, err := nl.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return l.Attrs().Index
	}
	l := &line{up: add("v0", true), down: add("v1", false), off: 4711, nowhere: add("v2", true)}
	peer, err := nl.LinkByName("v0p")
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := netns.Set(ns)
		if err == nil {
			l.sender, err = NewSender()
		}
		if err == nil {
			l.in, err = listenAll(peer.Attrs().Index)
		}
		opened <- err
	}()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(l.sender.Close(), unix.Close(l.in)); err != nil {
			t.Error(err)
		}
	})
	return l
}

// listenAll opens a packet socket on an interface with room for thousands of frames.
func listenAll(ifindex int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	return fd, errors.Join(err,
		unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex, Protocol: networkOrder(unix.ETH_P_ALL)}))
}

// testType marks frames of these tests among what the kernel sends on its own.
const testType = 0x88b5 // IEEE 802, local experiments

func numbered(n int) []byte {
	f := make([]byte, 70)
	copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2})
	binary.BigEndian.PutUint16(f[12:], testType)
	binary.BigEndian.PutUint32(f[14:], uint32(n))
	return f
}

// received returns the numbers of the frames that arrived.
func (l *line) received(t testing.TB) (out []int) {
	t.Helper()
	var buf [256]byte
	for {
		n, err := unix.Read(l.in, buf[:])
		if errors.Is(err, unix.EAGAIN) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if n >= 18 && binary.BigEndian.Uint16(buf[12:]) == testType {
			out = append(out, int(binary.BigEndian.Uint32(buf[14:])))
		}
	}
}

// TestSendAll: the kernel gets every frame once and in order, also more than one call takes, and each frame that it
// refuses has its own reason, wherever it is.
func TestSendAll(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		frames int
		bad    func(l *line, i int) (ifindex int, want error)
	}{
		{"none", 0, nil},
		{"all taken", 300, nil},
		{"more than one call takes", 2500, nil},
		{"first refused", 5, func(l *line, i int) (int, error) {
			if i == 0 {
				return l.down, unix.ENETDOWN
			}
			return l.up, nil
		}},
		{"last refused", 5, func(l *line, i int) (int, error) {
			if i == 4 {
				return l.off, unix.ENXIO
			}
			return l.up, nil
		}},
		{"one of each, in turn", 300, func(l *line, i int) (int, error) {
			return []int{l.up, l.down, l.off}[i%3], []error{nil, unix.ENETDOWN, unix.ENXIO}[i%3]
		}},
		{"all refused", 300, func(l *line, _ int) (int, error) { return l.down, unix.ENETDOWN }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := newLine(t)
			for round := range 2 { // the second one on what the first one left
				var want []int
				frames := make([]Frame, tc.frames)
				refusals := make([]error, tc.frames)
				for i := range frames {
					frames[i] = Frame{IfIndex: l.up, Data: numbered(i), Err: errors.ErrUnsupported}
					if tc.bad != nil {
						frames[i].IfIndex, refusals[i] = tc.bad(l, i)
					}
					if refusals[i] == nil {
						want = append(want, i)
					}
				}
				l.sender.SendAll(frames)
				for i := range frames {
					if !errors.Is(frames[i].Err, refusals[i]) {
						t.Errorf("round %d: frame %d: %v, want %v", round, i, frames[i].Err, refusals[i])
					}
				}
				if got := l.received(t); !slices.Equal(got, want) {
					t.Errorf("round %d: %d frames arrived, want %d: %v", round, len(got), len(want), got)
				}
			}
		})
	}
}

// BenchmarkSend compares frames that are sent one by one with a batch, per frame.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{1, 8, 64, 256} {
		l := newLine(b)
		frames := make([]Frame, size)
		for i := range frames {
			frames[i] = Frame{IfIndex: l.nowhere, Data: numbered(i)}
		}
		perFrame := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/frame")
		}
		b.Run(fmt.Sprintf("%d/single", size), func(b *testing.B) {
			for b.Loop() {
				for i := range frames {
					if l.sender.SendAll(frames[i : i+1]); frames[i].Err != nil {
						b.Fatal(frames[i].Err)
					}
				}
			}
			perFrame(b)
		})
		b.Run(fmt.Sprintf("%d/batch", size), func(b *testing.B) {
			for b.Loop() {
				if l.sender.SendAll(frames); frames[0].Err != nil {
					b.Fatal(frames[0].Err)
				}
			}
			perFrame(b)
		})
	}
}
