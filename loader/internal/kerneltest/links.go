// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vipd/loader/internal/ethtool"
)

// The addresses of the two ends of a pair.
var (
	ourMAC   = [6]byte{2, 0, 0, 0, 0, 0x0a}
	theirMAC = [6]byte{2, 0, 0, 0, 0, 0x0b}
)

// Pair makes a veth pair, both ends up, in a namespace of its own.
func Pair(t *testing.T, ns string) (ours, peer netlink.Link) {
	t.Helper()
	Require(t, BPF)
	EnterNetns(t, ns)
	return Veth(t, "ours", "peer")
}

// Veth makes a pair in this namespace, both ends up.
func Veth(t *testing.T, name, peerName string) (ours, peer netlink.Link) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = name, ourMAC[:]
	if err := netlink.LinkAdd(
		&netlink.Veth{LinkAttrs: attrs, PeerName: peerName, PeerHardwareAddr: theirMAC[:]},
	); err != nil {
		t.Fatal(err)
	}
	links := make([]netlink.Link, 2)
	for i, name := range []string{name, peerName} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
		links[i] = l
	}
	return links[0], links[1]
}

// HaveTCX reports whether the kernel has tcx (6.6).
func HaveTCX() bool {
	_, err := link.QueryPrograms(link.QueryOptions{Target: 1, Attach: ebpf.AttachTCXEgress})
	return err == nil
}

// RequireTCX skips the test without tcx.
func RequireTCX(t *testing.T) {
	t.Helper()
	if !HaveTCX() {
		t.Skip("no tcx on this kernel (before 6.6); clsact has a case of its own")
	}
}

// Fence is what Left returns for the egress program.
func Fence(clsact bool) string {
	if clsact || !HaveTCX() {
		return "clsact filter"
	}
	return "tcx"
}

// Left lists what of ours is attached to an interface.
func Left(t *testing.T, l netlink.Link) string {
	t.Helper()
	var out []string
	now, err := netlink.LinkByIndex(l.Attrs().Index)
	if err != nil {
		t.Fatal(err)
	}
	if x := now.Attrs().Xdp; x != nil && x.Attached {
		out = append(out, "xdp")
	}
	r, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: ebpf.AttachTCXEgress})
	if err == nil && len(r.Programs) > 0 {
		out = append(out, "tcx")
	}
	qs, err := netlink.QdiscList(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range qs {
		if q.Type() != "clsact" {
			continue
		}
		out = append(out, "clsact")
		fs, err := netlink.FilterList(now, netlink.HANDLE_MIN_EGRESS)
		if err != nil {
			t.Fatal(err)
		}
		for range fs {
			out = append(out, "filter")
		}
	}
	return strings.Join(out, " ")
}

// RawSocket sends and receives whole frames on an interface.
type RawSocket struct {
	t  *testing.T
	fd int
}

// PacketSocket opens a socket on an interface until the end of the test.
func PacketSocket(t *testing.T, l netlink.Link) RawSocket {
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
	return RawSocket{t: t, fd: fd}
}

// Send sends a frame.
func (s RawSocket) Send(frame []byte) {
	s.t.Helper()
	if _, err := unix.Write(s.fd, frame); err != nil && !errors.Is(err, unix.ENOBUFS) { // ENOBUFS: the fence dropped it
		s.t.Fatal(err)
	}
}

// Receive waits for an incoming frame that wanted accepts, and returns nil after the time.
func (s RawSocket) Receive(wanted func([]byte) bool, wait time.Duration) []byte {
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

// IsARP reports whether a frame is ARP.
func IsARP(f []byte) bool { return len(f) >= 42 && f[12] == 8 && f[13] == 6 }

// Must returns v, or panics.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// WaitFor waits for the kernel's own work queues, which are slow on an emulated machine.
func WaitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("it did not come to pass")
}

var dirs atomic.Int32

// TestDir returns an unused directory for pins.
func TestDir() string {
	return fmt.Sprintf("/sys/fs/bpf/vipd-test-%d-%d", os.Getpid(), dirs.Add(1))
}

// RXVLAN reports whether the interface removes tags from frames, both kinds or none: a veth can do both.
func RXVLAN(t *testing.T, ifname string) bool {
	t.Helper()
	flags, err := EthtoolFlags(ifname, unix.ETHTOOL_GFLAGS, 0)
	if err != nil {
		t.Fatal(err)
	}
	on := flags&ethFlagRXVLAN != 0
	if stag := rxSTag(t, ifname); stag != on {
		t.Errorf("rx-vlan-offload is on: %v, rx-vlan-stag-hw-parse: %v", on, stag)
	}
	return on
}

func rxSTag(t *testing.T, ifname string) bool {
	t.Helper()
	on, ok := Must(ethtool.NIC{}.Features(ifname))["rx-vlan-stag-hw-parse"]
	if !ok {
		t.Fatal("the kernel knows no rx-vlan-stag-hw-parse")
	}
	return on
}

// ioctls for single flags, so that the tests ask in another way than the code under test.

const ethFlagRXVLAN = 1 << 8 // ETH_FLAG_RXVLAN

// EthtoolFlags gets or sets the flags of an interface.
func EthtoolFlags(ifname string, cmd, data uint32) (uint32, error) {
	value := []uint32{cmd, data} // struct ethtool_value
	err := ethtool.Call(ifname, value)
	return value[1], err
}
