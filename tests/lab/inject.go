// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Injector sends raw frames from a host's interface.
type Injector struct {
	host *Host
	fd   int
	to   *unix.SockaddrLinklayer
	once sync.Once
}

// Injector opens one.
func (p *Port) Injector() *Injector {
	l := p.Host.lab
	l.Helper()
	fd, err := p.Host.packetSocket(p.IfName, 0)
	l.check(err, "inject at %s", p.Name)
	i := &Injector{host: p.Host, fd: fd, to: &unix.SockaddrLinklayer{Ifindex: p.Host.IfIndex(p.IfName), Halen: 6}}
	l.Cleanup(i.close)
	return i
}

// Send sends one frame and returns the time just before.
func (i *Injector) Send(frame []byte) time.Time {
	i.host.lab.Helper()
	at := time.Now().Round(0)
	i.host.lab.check(unix.Sendto(i.fd, frame, 0, i.to), "%s: send a frame of %d bytes", i.host.Name, len(frame))
	return at
}

func (i *Injector) close() { i.once.Do(func() { unix.Close(i.fd) }) }

// ARPRequest builds a broadcast ARP request.
func ARPRequest(srcMAC [6]byte, sender, target netip.Addr) []byte {
	b := append(Broadcast[:], srcMAC[:]...)
	b = binary.BigEndian.AppendUint16(b, EtherARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1)
	b = append(b, srcMAC[:]...)
	b = append(b, sender.AsSlice()...)
	b = append(b, make([]byte, 6)...)
	return append(b, target.AsSlice()...)
}

// AskARP sends one ARP request from the port and returns every reply that arrives within the window.
func (p *Port) AskARP(sender, target netip.Addr, window time.Duration) Frames {
	p.Host.lab.Helper()
	return p.askARP(sender, target, window, 0)
}

// answerTimeout is how long a busy machine may take to carry a request and its answer.
const answerTimeout = 10 * time.Second

// AnswersARP is AskARP for a request that has to be answered: it waits for the first reply, however late a busy machine
// delivers it, and for the window after it for further ones.
func (p *Port) AnswersARP(sender, target netip.Addr, window time.Duration) Frames {
	p.Host.lab.Helper()
	return p.askARP(sender, target, answerTimeout, window)
}

// askARP waits for the first reply for wait, and after it for more, unless that is 0.
func (p *Port) askARP(sender, target netip.Addr, wait, more time.Duration) Frames {
	l := p.Host.lab
	l.Helper()
	fd, err := p.Host.packetSocket(p.IfName, unix.ETH_P_ARP)
	l.check(err, "listen for ARP at %s", p.Name)
	defer unix.Close(fd)
	i := p.Injector()
	defer i.close()
	i.Send(ARPRequest(p.MAC, sender, target))
	var replies Frames
	buf, oob := make([]byte, 2048), make([]byte, 256)
	for end := time.Now().Add(wait); time.Now().Before(end); {
		n, oobn, _, _, err := unix.Recvmsg(fd, buf, oob, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		l.check(err, "listen for ARP at %s", p.Name)
		f := Frame{At: stamp(oob[:oobn]), Data: append([]byte(nil), buf[:n]...)}
		if a, ok := f.ARP(); ok && a.Op == 2 && a.SenderIP == target {
			if len(replies) == 0 && more > 0 {
				end = time.Now().Add(more)
			}
			replies = append(replies, f)
		}
	}
	return replies
}
