// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Sniffer records every frame that passes a port of a segment, in both directions, with the kernel's time stamps.
// It listens on the bridge's end of the cable: on the host's own end, frames that XDP sends or drops cannot be seen.
type Sniffer struct {
	port *Port
	fd   int

	mu     sync.Mutex
	frames Frames
	err    error
	closed bool
	buf    [64 << 10]byte
	oob    [256]byte

	stop chan struct{}
	done chan struct{}
	once sync.Once
}

// Sniff starts recording until the sniffer is closed or the lab ends.
func (p *Port) Sniff() *Sniffer {
	l := p.Host.lab
	l.Helper()
	fd, err := p.Segment.host.packetSocket(p.Name, unix.ETH_P_ALL)
	l.check(err, "sniff at %s", p.Name)
	s := &Sniffer{port: p, fd: fd, stop: make(chan struct{}), done: make(chan struct{})}
	go s.read()
	l.Cleanup(s.Close)
	return s
}

// read takes frames out of the kernel's buffer before it overflows.
func (s *Sniffer) read() {
	defer close(s.done)
	for {
		// An error or nothing within the time: the next round.
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, int(receiveWait.Milliseconds()))
		s.mu.Lock()
		s.drain()
		broken := s.err != nil
		s.mu.Unlock()
		select {
		case <-s.stop:
			return
		default:
		}
		if broken {
			return
		}
	}
}

// drain takes all frames that the kernel has recorded before the call. The caller holds the lock.
func (s *Sniffer) drain() {
	for now := time.Now(); s.err == nil; {
		n, oobn, _, from, err := unix.Recvmsg(s.fd, s.buf[:], s.oob[:], unix.MSG_DONTWAIT)
		switch {
		case err == nil:
			ll, ok := from.(*unix.SockaddrLinklayer)
			if !ok || n < 14 {
				continue
			}
			// Outgoing is what the bridge sends, towards the host.
			f := Frame{
				At:       stamp(s.oob[:oobn]),
				Data:     slices.Clone(s.buf[:n]),
				FromHost: ll.Pkttype != unix.PACKET_OUTGOING,
			}
			s.frames = append(s.frames, f)
			if f.At.After(now) {
				return
			}
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN):
			// ENETDOWN: the port was set down; it may come up again.
		default:
			s.err = fmt.Errorf("sniff at %s: %w", s.port.Name, err)
		}
	}
}

// Frames returns what the port has seen so far, however late the sniffer's own reader is. It fails the test if the
// sniffer has lost a frame: then it proves nothing.
func (s *Sniffer) Frames() Frames {
	l := s.port.Host.lab
	l.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.drain()
	}
	l.check(s.err, "sniffer")
	if s.closed {
		return slices.Clone(s.frames)
	}
	stats, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	l.check(err, "ask the sniffer at %s for its losses", s.port.Name)
	if stats.Drops > 0 {
		l.Fatalf("the sniffer at %s lost %d frames", s.port.Name, stats.Drops)
	}
	return slices.Clone(s.frames)
}

// FirstSpeaking waits for the first frame later than since with which the host at the port speaks for the VIP.
func (s *Sniffer) FirstSpeaking(since time.Time, timeout time.Duration, vip netip.Addr, vmac [6]byte) Frame {
	s.port.Host.lab.Helper()
	return s.Await(timeout, fmt.Sprintf("%s speaks for %v", s.port.Host.Name, vip), func(f Frame) bool {
		return f.FromHost && f.At.After(since) && f.SpeaksFor(vip, vmac)
	})
}

// Await waits until a recorded frame matches and returns the first one.
func (s *Sniffer) Await(timeout time.Duration, what string, match func(Frame) bool) Frame {
	l := s.port.Host.lab
	l.Helper()
	var found Frame
	l.Eventually(timeout, 5*time.Millisecond, func() (bool, string) {
		for _, f := range s.Frames() {
			if match(f) {
				found = f
				return true, ""
			}
		}
		return false, what
	})
	return found
}

// Close ends the recording. What was recorded stays.
func (s *Sniffer) Close() {
	s.once.Do(func() {
		close(s.stop)
		<-s.done
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closed = true
		unix.Close(s.fd)
	})
}
