// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
)

// FuzzXDP compares the program's verdict on any frame with that of a twin in Go.
func FuzzXDP(f *testing.F) {
	c := advert(1, 0, 0, 7)
	for _, frame := range [][]byte{
		frameOf(c), frameOf(damaged(c)), packet{payload: c.bytes(), options: make([]byte, 8)}.bytes(),
		packet{payload: append(c.bytes(), 0, 0, 0)}.bytes(), packet{payload: c.bytes(), ttl: 3}.bytes(),
		packet{payload: c.bytes(), dst: ownAddr, dstMAC: nicMAC}.bytes(), packet{payload: c.bytes(), dst: peerAddr, dstMAC: vmac(1)}.bytes(),
		packet{payload: vrrp2(1, 2)}.bytes(), packet{payload: vrrp3(1, 2, peerAddr, carpGroup)}.bytes(),
		packet{payload: vrrp2(2, 0)}.bytes(), packet{payload: c.bytes(), frag: 0x2000}.bytes(),
		packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 30)}.bytes(),
		arpFor("192.0.2.1").bytes(), arpFor("192.0.2.7").bytes(),
		append(eth(vmac(1), peerMAC, 0x8100), make([]byte, 40)...),
	} {
		f.Add(frame, true)
		f.Add(frame, false)
	}
	h := newHarness(f)
	zero := make([]bpfBudget, ebpf.MustPossibleCPU())
	generation := uint64(0)
	f.Fuzz(func(t *testing.T, frame []byte, master bool) {
		if len(frame) < 14 || len(frame) > 1500 {
			t.Skip("not a frame that a test run takes")
		}
		h.t = t
		generation++
		if h.g.SetRole(Role{State: RoleBackup, Generation: generation}); master {
			h.master(generation)
			h.g.SetSentPriority(Priority{}) // the best: nothing but its equal makes us yield
		}
		if err := h.d.objs.Budget.Put(h.g.slot, zero); err != nil {
			t.Fatal(err)
		}
		got, _ := h.run(frame)
		if want := twin(frame, master); got != want {
			t.Errorf("master %v: verdict %d, want %d\n%x", master, got, want, frame)
		}
		h.drain()
	})
}

// twin is what design and protocol say of a frame, for the golden group.
func twin(f []byte, answering bool) uint32 {
	next := uint32(0)
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x8100, 0x88a8:
		return xdpPass
	case 0x0806:
		next = twinARP(f, answering)
	case 0x0800:
		next = twinAdvert(f)
	}
	if next != 0 {
		return next
	}
	if mac := vmac(1); bytes.Equal(f[:6], mac[:]) && !answering {
		return xdpDrop
	}
	return xdpPass
}

func reaches(f []byte) bool {
	mac := vmac(1)
	return f[0]&1 != 0 || bytes.Equal(f[:6], nicMAC[:]) || bytes.Equal(f[:6], mac[:])
}

func twinARP(f []byte, answering bool) uint32 {
	vip := []byte{192, 0, 2, 1}
	if len(f) < 42 || !bytes.Equal(f[14:22], []byte{0, 1, 8, 0, 6, 4, 0, 1}) || !bytes.Equal(f[38:42], vip) || !reaches(f) {
		return 0
	}
	switch {
	case bytes.Equal(f[28:32], vip):
		return xdpPass
	case !answering:
		return xdpDrop
	case f[22]&1 != 0:
		return xdpPass
	}
	return xdpTX
}

func twinAdvert(f []byte) uint32 {
	if len(f) < 34 || f[14]>>4 != 4 || f[23] != 112 || binary.BigEndian.Uint16(f[20:])&0x3fff != 0 {
		return 0
	}
	hl, total := int(f[14]&15)*4, int(binary.BigEndian.Uint16(f[16:]))
	dst := netip.AddrFrom4([4]byte(f[30:34]))
	if hl < 20 || total < hl || dst != carpGroup && f[30] >= 224 {
		return 0
	}
	p := f[min(14+hl, len(f)):]
	plen := total - hl
	if plen < 2 || len(p) < 2 || p[1] != 1 || !reaches(f) {
		return 0
	}
	whole := len(p) >= plen
	if whole {
		p = p[:plen]
		if isVRRP(f[26:34], p) {
			return 0
		}
	}
	good := whole && plen >= 36 && p[0]>>4 == 2 && f[22] == 255 && sum16(f[14:14+hl]) == 0 &&
		sum16(p[:36]) == 0 && (plen == 36 || plen <= 1040 && sum16(p) == 0)
	if good {
		counter := binary.BigEndian.Uint64(p[8:])
		want := digest(goldenKey, prefix(1, []netip.Addr{netip.MustParseAddr("192.0.2.1")}), counter)
		good = bytes.Equal(p[16:36], want[:])
	}
	ours := dst == carpGroup || dst == ownAddr
	switch {
	case good && dst != ownAddr:
		return xdpPass
	case good, ours:
		return xdpDrop
	}
	return 0
}

func isVRRP(addrs, p []byte) bool {
	if len(p) < 8 {
		return false
	}
	n := 4 * int(p[3])
	switch p[0] >> 4 {
	case 2:
		return len(p) == 16+n && (len(p) != 36 || p[3] != 7) && sum16(p) == 0
	case 3:
		return len(p) == 8+n && sum16(slices.Concat(addrs, []byte{0, 112, byte(len(p) >> 8), byte(len(p))}), p) == 0
	}
	return false
}

// TestTwin runs the twin over every one-byte change of every seed: what fuzzing would
// take long to come by.
func TestTwin(t *testing.T) {
	h := newHarness(t)
	zero := make([]bpfBudget, ebpf.MustPossibleCPU())
	c := advert(1, 0, 0, 7)
	h.g.SetSentPriority(Priority{})
	generation := uint64(0)
	for name, frame := range map[string][]byte{
		"advert": frameOf(c), "options": packet{payload: c.bytes(), options: make([]byte, 8)}.bytes(),
		"unicast": packet{payload: c.bytes(), dst: ownAddr, dstMAC: nicMAC}.bytes(),
		"vrrp2":   packet{payload: vrrp2(1, 2)}.bytes(), "vrrp3": packet{payload: vrrp3(1, 2, peerAddr, carpGroup)}.bytes(),
		"arp": arpFor("192.0.2.1").bytes(), "virtual": packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 8)}.bytes(),
	} {
		for i := range frame {
			for _, x := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
				b := append([]byte(nil), frame...)
				b[i] ^= x
				for _, master := range []bool{true, false} {
					generation++
					if h.g.SetRole(Role{State: RoleBackup, Generation: generation}); master {
						h.master(generation)
					}
					if err := h.d.objs.Budget.Put(h.g.slot, zero); err != nil {
						t.Fatal(err)
					}
					if got, _ := h.run(b); got != twin(b, master) {
						t.Errorf("%s, byte %d ^ %#x, master %v: verdict %d, want %d", name, i, x, master, got, twin(b, master))
					}
				}
			}
		}
	}
}
