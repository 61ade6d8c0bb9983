// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Pinger pings an address from a host at a fixed spacing and remembers when each request left and when its first
// answer came, by the kernel's stamp.
type Pinger struct {
	host    *Host
	target  netip.Addr
	zone    uint32 // of a link-local target: the index of its interface
	spacing time.Duration
	prompt  bool
	id      uint16
	fd      int

	// One entry per request, in nanoseconds of the wall clock, allocated before the first: no thread waits for another.
	sent     []int64
	answered []atomic.Int64 // 0: not answered yet
	count    atomic.Int64   // of the requests
	doubles  atomic.Int64

	mu  sync.Mutex
	err error

	quiet chan struct{} // closed: send no more
	stop  chan struct{} // closed: receive no more
	// stopped is when stop was closed.
	stopped time.Time
	wg      sync.WaitGroup
	once    sync.Once
}

const (
	pingGrace = 300 * time.Millisecond // how long an answer may take after the last request
	pingLimit = 5 * time.Minute        // a forgotten pinger ends by itself
)

// Ping starts pinging (a link-local address with the name of the interface as its zone); the pinger ends with Stop or
// with the lab.
func (h *Host) Ping(target netip.Addr, spacing time.Duration) *Pinger {
	h.lab.Helper()
	return h.ping(target, spacing, false)
}

// PingPromptly is Ping by a thread with a higher priority than that of the daemons: a client on a machine of its own
// does not wait for theirs.
func (h *Host) PingPromptly(target netip.Addr, spacing time.Duration) *Pinger {
	h.lab.Helper()
	return h.ping(target, spacing, true)
}

func (h *Host) ping(target netip.Addr, spacing time.Duration, prompt bool) *Pinger {
	h.lab.Helper()
	domain, proto := unix.AF_INET, unix.IPPROTO_ICMP
	if target.Is6() {
		domain, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	fd, err := h.socketIn(domain, unix.SOCK_RAW, proto)
	h.lab.check(err, "ping from %s", h.Name)
	most := int(pingLimit / spacing)
	p := &Pinger{
		host: h, target: target, spacing: spacing, prompt: prompt, id: uint16(os.Getpid()) ^ uint16(fd), fd: fd,
		sent: make([]int64, most), answered: make([]atomic.Int64, most),
		quiet: make(chan struct{}), stop: make(chan struct{}),
	}
	if zone := target.Zone(); zone != "" {
		p.zone = uint32(h.IfIndex(zone))
	}
	p.wg.Go(p.send)
	p.wg.Go(p.receive)
	h.lab.Cleanup(p.end)
	return p
}

func (p *Pinger) send() {
	runtime.LockOSThread() // never unlocked: the thread ends with its priority
	sleep := time.Sleep
	if p.prompt {
		// It keeps its P, as that of BareSender does.
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
		defer func() { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - 1) }()
		if err := takeRealtime(unitPriority + 1); err != nil {
			p.fail(err)
			return
		}
		sleep = func(d time.Duration) { sleepUntil(readClock(unix.CLOCK_MONOTONIC) + int64(d)) }
	}
	var to unix.Sockaddr
	if p.target.Is6() {
		to = &unix.SockaddrInet6{Addr: p.target.As16(), ZoneId: p.zone}
	} else {
		to = &unix.SockaddrInet4{Addr: p.target.As4()}
	}
	next := time.Now()
	for seq := range p.sent {
		select {
		case <-p.quiet:
			return
		default:
		}
		p.sent[seq] = time.Now().UnixNano()
		p.count.Store(int64(seq) + 1)
		err := unix.Sendto(p.fd, p.echo(uint32(seq)), 0, to)
		// What the stack cannot send (no neighbour, buffers full while it is asked for) is a lost ping, not an error.
		if err != nil && !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.ENETUNREACH) &&
			!errors.Is(err, unix.ENOBUFS) &&
			!errors.Is(err, unix.EAGAIN) {
			p.fail(fmt.Errorf("send ping: %w", err))
			return
		}
		if next = next.Add(p.spacing); time.Until(next) < -p.spacing {
			next = time.Now() // we were not run in time: no burst to make up for it
		}
		sleep(time.Until(next))
	}
}

func (p *Pinger) echo(seq uint32) []byte {
	b := []byte{8, 0, 0, 0} // the kernel fills in the checksum of ICMPv6
	if p.target.Is6() {
		b[0] = 128
	}
	b = binary.BigEndian.AppendUint16(b, p.id)
	b = binary.BigEndian.AppendUint16(b, uint16(seq))
	b = binary.BigEndian.AppendUint32(b, seq)
	binary.BigEndian.PutUint16(b[2:], Checksum(b))
	return b
}

func (p *Pinger) receive() {
	buf, oob := make([]byte, 2048), make([]byte, 256)
	for {
		n, oobn, _, from, err := unix.Recvmsg(p.fd, buf, oob, 0)
		if err == nil {
			p.take(buf[:n], from, stamp(oob[:oobn]))
		} else if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EHOSTUNREACH) {
			p.fail(fmt.Errorf("receive ping: %w", err))
			return
		}
		select {
		case <-p.stop:
			// Until then there may be answers that came in time. The socket gets those of other pingers, too, which
			// go on coming.
			if errors.Is(err, unix.EAGAIN) || time.Since(p.stopped) > pingGrace {
				return
			}
		default:
		}
	}
}

func (p *Pinger) take(b []byte, from unix.Sockaddr, at time.Time) {
	reply := byte(129)
	switch from := from.(type) {
	case *unix.SockaddrInet6:
		if netip.AddrFrom16(from.Addr) != p.target.WithZone("") {
			return
		}
	case *unix.SockaddrInet4: // with the IP header
		if netip.AddrFrom4(from.Addr) != p.target || len(b) < 20 {
			return
		}
		reply, b = 0, b[int(b[0]&15)*4:]
	}
	if len(b) < 12 || b[0] != reply || binary.BigEndian.Uint16(b[4:]) != p.id {
		return
	}
	seq := int64(binary.BigEndian.Uint32(b[8:]))
	if seq < p.count.Load() && !p.answered[seq].CompareAndSwap(0, at.UnixNano()) {
		p.doubles.Add(1)
	}
}

func (p *Pinger) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = errors.Join(p.err, err)
}

func (p *Pinger) end() {
	p.once.Do(func() {
		close(p.quiet)
		time.Sleep(pingGrace)
		p.stopped = time.Now()
		close(p.stop)
		p.wg.Wait()
		unix.Close(p.fd)
	})
}

// AwaitAnswer waits for an answer to a request sent after since, and returns when it came.
func (p *Pinger) AwaitAnswer(since time.Time, timeout time.Duration) time.Time {
	p.host.lab.Helper()
	var at time.Time
	p.host.lab.Eventually(timeout, 2*time.Millisecond, func() (bool, string) {
		count := p.count.Load()
		first := count
		for first > 0 && p.sent[first-1] > since.UnixNano() {
			first--
		}
		for i := first; i < count; i++ {
			if a := p.answered[i].Load(); a != 0 {
				at = time.Unix(0, a)
				return true, ""
			}
		}
		return false, fmt.Sprintf("%s gets an answer from %v", p.host.Name, p.target)
	})
	return at
}

// PingReport is what a client saw from the first answer on.
type PingReport struct {
	Sent, Lost, Doubles int
	// Gap is the longest time without an answer, From when it began. Silence until the last request counts.
	Gap  time.Duration
	From time.Time
	// Stall is the longest time between two requests: how much of the gap may be the pinger's own.
	Stall time.Duration
}

// String returns one line for logs.
func (r PingReport) String() string {
	return fmt.Sprintf("%d pings, %d lost, longest gap %v (pinger's own longest stall %v), %d answered twice", r.Sent,
		r.Lost, r.Gap.Round(10*time.Microsecond), r.Stall.Round(10*time.Microsecond), r.Doubles)
}

// Stop ends the pinging and reports on the whole of it.
func (p *Pinger) Stop() PingReport {
	p.host.lab.Helper()
	p.end()
	p.host.lab.check(p.err, "pinger on %s", p.host.Name)
	count := int(p.count.Load())
	first := 0
	for first < count && p.answered[first].Load() == 0 {
		first++
	}
	if first == count {
		p.host.lab.Fatalf("%s got no answer from %v to %d pings", p.host.Name, p.target, count)
	}
	r := PingReport{Sent: count - first, Doubles: int(p.doubles.Load())}
	var answers []int64
	for i := first; i < count; i++ {
		if i > first {
			r.Stall = max(r.Stall, time.Duration(p.sent[i]-p.sent[i-1]))
		}
		if a := p.answered[i].Load(); a == 0 {
			r.Lost++
		} else {
			answers = append(answers, a)
		}
	}
	slices.Sort(answers)
	answers = append(answers, p.sent[count-1])
	for i := 1; i < len(answers); i++ {
		if gap := time.Duration(answers[i] - answers[i-1]); gap > r.Gap {
			r.Gap, r.From = gap, time.Unix(0, answers[i-1])
		}
	}
	return r
}

// Checksum returns the Internet checksum of b, which must be of even length.
func Checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
