// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestOnTheWire sends real frames through a veth pair: an answer comes back, the
// fence holds, an advert wakes us.
func TestOnTheWire(t *testing.T) {
	for _, clsact := range []bool{false, true} {
		ns := map[bool]string{false: "loader-wire", true: "loader-wirecls"}[clsact]
		t.Run(ns, func(t *testing.T) {
			ours, peer := pair(t, ns)
			index := ours.Attrs().Index
			d := openTest(t, Options{ForceClsact: clsact})
			if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
				t.Fatal(err)
			}
			s := goldenSpec("192.0.2.1")
			s.IfIndex = index
			g, err := d.AddGroup(s)
			if err != nil {
				t.Fatal(err)
			}
			far, near := packetSocket(t, peer), packetSocket(t, ours)

			far.send(arpFor("192.0.2.1").bytes())
			if f := far.receive(isARP, 200*time.Millisecond); f != nil {
				t.Errorf("answered while not master: %x", f)
			}
			own := arp{dstMAC: broadcastMAC, srcMAC: nicMAC, op: 1, sha: nicMAC, sip: "192.0.2.1", tip: "192.0.2.2"}
			near.send(own.bytes())
			if f := far.receive(isARP, 200*time.Millisecond); f != nil {
				t.Errorf("spoke for the VIP while not master: %x", f)
			}

			g.SetRole(Role{State: RoleMaster, Generation: 1, Lease: bootNow() + 60e9})
			g.SetSentPriority(Priority{AdvBase: 1})
			far.send(arpFor("192.0.2.1").bytes())
			answer := arp{dstMAC: peerMAC, srcMAC: vmac(1), op: 2, sha: vmac(1), sip: "192.0.2.1", tha: peerMAC, tip: "192.0.2.2"}.bytes()
			if f := far.receive(isARP, 5*time.Second); !bytes.Equal(f[:min(len(f), 42)], answer) {
				t.Errorf("answer %x, want %x", f, answer)
			}
			near.send(own.bytes())
			own.srcMAC, own.sha = vmac(1), vmac(1)
			if f := far.receive(isARP, 5*time.Second); !bytes.Equal(f, own.bytes()) {
				t.Errorf("our request left as %x, want %x", f, own.bytes())
			}

			far.send(frameOf(advert(0, 1, 0, 7)))
			select {
			case <-d.Wake():
			case <-time.After(5 * time.Second):
				t.Fatal("no token")
			}
			evs, err := d.Drain(nil)
			if err != nil || len(evs) != 1 || !evs[0].Yielded || evs[0].IfIndex != index {
				t.Errorf("events %+v, %v", evs, err)
			}
			if ans, err := g.Answering(bootNow()); err != nil || ans {
				t.Errorf("answering %v, %v after a better advert", ans, err)
			}
		})
	}
}

type rawSocket struct {
	t  *testing.T
	fd int
}

func packetSocket(t *testing.T, l netlink.Link) rawSocket {
	t.Helper()
	proto := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(proto))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: l.Attrs().Index}); err != nil {
		t.Fatal(err)
	}
	return rawSocket{t: t, fd: fd}
}

func (s rawSocket) send(frame []byte) {
	s.t.Helper()
	if _, err := unix.Write(s.fd, frame); err != nil && !errors.Is(err, unix.ENOBUFS) { // ENOBUFS: the fence dropped it
		s.t.Fatal(err)
	}
}

// receive waits for an incoming frame that is wanted; nil after the time.
func (s rawSocket) receive(wanted func([]byte) bool, wait time.Duration) []byte {
	s.t.Helper()
	buf := make([]byte, 2048)
	for end := time.Now().Add(wait); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
		if n, _ := unix.Poll(fds, int(left/time.Millisecond)+1); n <= 0 {
			continue
		}
		n, from, err := unix.Recvfrom(s.fd, buf, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING && wanted(buf[:n]) {
			return buf[:n]
		}
	}
}

func isARP(f []byte) bool { return len(f) >= 42 && f[12] == 8 && f[13] == 6 }
