// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"vipd/tests/lab"

	"golang.org/x/sys/unix"
)

// After kill -9, and after SIGSTOP, of the master's daemon with the link left up: once the other node has taken over,
// not one frame that speaks for the VIP leaves the old node, however it is asked. (ucarp and keepalived leave two
// owners.)

func TestKilledMasterIsSilentAfterTakeover(t *testing.T) {
	t.Parallel()
	inModes(t, killedMasterIsSilentAfterTakeover)
}

func killedMasterIsSilentAfterTakeover(t *testing.T, mode string) {
	p := newPair(t, inMode(mode, oneVIP(0)), inMode(mode, oneVIP(10)))
	p.start()
	assertSilent(t, p, p.a.Kill9)
}

func TestStoppedMasterIsSilentAfterTakeover(t *testing.T) {
	t.Parallel()
	inModes(t, stoppedMasterIsSilentAfterTakeover)
}

func stoppedMasterIsSilentAfterTakeover(t *testing.T, mode string) {
	p := newPair(t, inMode(mode, oneVIP(0)), inMode(mode, oneVIP(10)))
	p.start()
	assertSilent(t, p, p.a.Pause)
}

// The same with the egress filter of kernels before 6.6, which no link pins.
func TestKilledMasterIsSilentAfterTakeoverWithClsact(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	p.a.Env = []string{"VIPD_EGRESS=clsact"}
	p.start()
	if p.a.ClsactFilters("eth0") == 0 {
		t.Error("no clsact filter is attached: the test proves nothing")
	}
	assertSilent(t, p, p.a.Kill9)
}

func assertSilent(t *testing.T, p *pair, silence func() time.Time) {
	t.Helper()
	old, successor := p.portA.Sniff(), p.portB.Sniff()
	old.FirstSpeaking(time.Now(), patience, vip, vmac) // the sniffer sees the old node speak while it may

	at := silence()
	took := successor.FirstSpeaking(at, patience, vip, vmac)
	t.Logf("taken over %v after", took.At.Sub(at))
	// Everything that could make the old node speak: ARP requests, echo requests to its own and to the virtual MAC for the
	// address it may still carry, and a program of its own that sends from it.
	attacker := p.clientPort.Injector()
	const rounds = 25
	answers := 0
	for round, end := 0, time.Now().Add(3*time.Second); round < rounds || time.Now().Before(end); round++ {
		attacker.Send(lab.ARPRequest(p.clientPort.MAC, addrClient, vip))
		attacker.Send(echoRequest(p.clientPort.MAC, p.portA.MAC, addrClient, vip))
		attacker.Send(echoRequest(p.clientPort.MAC, lab.Broadcast, addrClient, vip))
		sendUDP(t, p.a.Host, vip, addrClient)
		answers += len(p.clientPort.AnswersARP(addrClient, vip, 60*time.Millisecond))
	}

	frames := old.Frames()
	if spoken := frames.FromHost().After(took.At).Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("%d frames for the VIP left the old node after the takeover:\n%v", len(spoken), spoken)
	}
	// Controls: it was asked, it heard its successor, and the successor answered.
	asked := frames.ToHost().After(took.At).Where(func(f lab.Frame) bool {
		a, isARP := f.ARP()
		_, dst, _, _, isIP := f.IPv4()
		return isARP && a.Op == 1 && a.TargetIP == vip || isIP && dst == vip
	})
	heard := frames.ToHost().After(took.At).Adverts(vhid)
	t.Logf("old node was asked %d times and heard %d adverts; the successor answered %d times",
		len(asked), len(heard), answers)
	if len(asked) < 3*rounds || len(heard) < 2 || answers < rounds*9/10 {
		t.Error("the old node was not asked, or the successor did not answer: the silence proves nothing")
	}
}

// echoRequest builds an ICMP echo request to a chosen Ethernet address.
func echoRequest(srcMAC, dstMAC [6]byte, src, dst netip.Addr) []byte {
	b := append(dstMAC[:], srcMAC[:]...)
	b = binary.BigEndian.AppendUint16(b, lab.EtherIPv4)
	ip := []byte{0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, lab.ProtoICMP, 0, 0}
	ip = append(append(ip, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], lab.Checksum(ip))
	icmp := []byte{8, 0, 0, 0, 0, 1, 0, 1}
	binary.BigEndian.PutUint16(icmp[2:], lab.Checksum(icmp))
	return append(append(b, ip...), icmp...)
}

// sendUDP makes a program on the host send from an address, whether the host has it or not.
func sendUDP(t *testing.T, h *lab.Host, from, to netip.Addr) {
	t.Helper()
	err := h.Within(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
			return err
		}
		_ = unix.Sendto(
			fd,
			[]byte("from the VIP"),
			0,
			&unix.SockaddrInet4{Port: 9, Addr: to.As4()},
		) // refused is what we hope for
		return nil
	})
	if err != nil {
		t.Fatalf("send from %v on %s: %v", from, h.Name, err)
	}
}
