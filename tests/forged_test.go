// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

const (
	ethSize = 14
	ipSize  = 20
)

// forgery is one kind of advert that must be counted and change nothing.
type forgery struct {
	name   string
	reason string // the counter that must rise
	build  func(p *peer) []byte
}

// rewrite changes bytes of the advert's IP header and payload and mends both checksums.
func rewrite(frame []byte, change func(ip, carp []byte)) []byte {
	ip, carp := frame[ethSize:ethSize+ipSize], frame[ethSize+ipSize:]
	change(ip, carp)
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], lab.Checksum(ip))
	if len(carp) >= 36 {
		carp[6], carp[7] = 0, 0
		binary.BigEndian.PutUint16(carp[6:], lab.Checksum(carp[:36]))
	}
	if len(carp) == 36+wire.TrailerSize {
		carp[54], carp[55] = 0, 0
		binary.BigEndian.PutUint16(carp[54:], lab.Checksum(carp[36:]))
	}
	return frame
}

// cut shortens the payload to n bytes and mends the IP header.
func cut(frame []byte, n int) []byte {
	return rewrite(frame[:ethSize+ipSize+n], func(ip, _ []byte) { binary.BigEndian.PutUint16(ip[2:], uint16(ipSize+n)) })
}

func foreignKey(p *peer) *peer {
	other := *p
	other.key, _ = wire.NewKey([]byte("not the password")) // 16 bytes are within the limit
	return &other
}

func foreignPrefix(p *peer, addrs ...netip.Addr) *peer {
	other := *p
	other.prefix = wire.DigestPrefix(vhid, addrs, nil)
	return &other
}

func forgeries() []forgery {
	// Each would be a reason to yield, or to take over, if it were believed.
	superior := func(f *wire.AdvertFrame) { f.Advert.AdvBase, f.Advert.AdvSkew = 1, 0 }
	goodbye := func(f *wire.AdvertFrame) { f.Advert.AdvBase, f.Advert.AdvSkew = 255, 255 }
	fs := []forgery{
		{"digest flipped", "bad_hmac", func(p *peer) []byte {
			return rewrite(p.build(superior), func(_, carp []byte) { carp[30] ^= 1 })
		}},
		{"counter flipped", "bad_hmac", func(p *peer) []byte {
			return rewrite(p.build(superior), func(_, carp []byte) { carp[15] ^= 1 })
		}},
		{"wrong password", "bad_hmac", func(p *peer) []byte { return foreignKey(p).build(superior) }},
		{"goodbye with wrong password", "bad_hmac", func(p *peer) []byte { return foreignKey(p).build(goodbye) }},
		{"one address too many", "bad_hmac", func(p *peer) []byte {
			return foreignPrefix(p, vip, netip.MustParseAddr("192.0.2.101")).build(superior)
		}},
		{"no address", "bad_hmac", func(p *peer) []byte { return foreignPrefix(p).build(superior) }},
		{"checksum flipped", "bad_checksum", func(p *peer) []byte {
			b := p.build(superior)
			b[ethSize+ipSize+6] ^= 1
			return b
		}},
		{"TTL 254", "bad_ttl", func(p *peer) []byte {
			return p.build(func(f *wire.AdvertFrame) { superior(f); f.TTL = 254 })
		}},
		{"TTL 1", "bad_ttl", func(p *peer) []byte {
			return p.build(func(f *wire.AdvertFrame) { goodbye(f); f.TTL = 1 })
		}},
	}
	for _, version := range []byte{0, 1, 4, 15} {
		fs = append(fs, forgery{"version " + string('0'+version), "bad_version", func(p *peer) []byte {
			return rewrite(p.build(superior), func(_, carp []byte) { carp[0] = version<<4 | 1 })
		}})
	}
	for _, n := range []int{2, 7, 8, 35} {
		fs = append(fs, forgery{"cut short", "bad_length", func(p *peer) []byte { return cut(p.build(superior), n) }})
	}
	return fs
}

// Every forged or damaged advert is counted by its reason and changes nothing: not the state of a MASTER it would
// depose.
func TestForgedAdvertsAreCountedAndDeposeNobody(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(100))
	p := s.startMaster()
	since := s.node.Group(group)
	for _, f := range forgeries() {
		before := s.node.Group(group).Counters
		p.injector.Send(f.build(p))
		s.node.WaitFor(group, f.name+" is counted as "+f.reason, patience, func(g lab.GroupStatus) bool {
			return g.Counters.Rejected[f.reason] == before.Rejected[f.reason]+1
		})
		after := s.node.Group(group)
		for reason, n := range after.Counters.Rejected {
			if reason != f.reason && n != before.Rejected[reason] {
				t.Errorf("%s: also counted as %s", f.name, reason)
			}
		}
		if after.Counters.Received != before.Received {
			t.Errorf("%s: counted as received", f.name)
		}
		if !after.Dataplane.Answering || after.State != lab.Master {
			t.Fatalf("%s: the node is %s, answering %v", f.name, after.State, after.Dataplane.Answering)
		}
	}
	if got := s.node.Group(group); !sameTime(got.Since, since.Since) {
		t.Errorf("MASTER since %v, was since %v", got.Since, since.Since)
	}
	// The control: the same advert undamaged does depose it.
	p.send(1, 0, 0)
	s.node.WaitState(group, lab.Backup, patience)
}

// Nor do they restart a BACKUP's timer or make it take over: it does so when its true master has been silent long
// enough.
func TestForgedAdvertsRestartNoTimer(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(10))
	sniffer := s.port.Sniff()
	p := newPeer(s.clientPort, addrClient)
	s.node.Start()
	s.node.WaitState(group, lab.Backup, patience)
	last := p.send(1, 0, 0)
	all := forgeries()
	sent := 0
	var first lab.Frame
	for deadline := last.Add(skewed(10) + 2*time.Second); ; {
		p.injector.Send(all[sent%len(all)].build(p))
		sent++
		if spoken := sniffer.Frames().FromHost().After(last).Speaking(vip, vmac); len(spoken) > 0 {
			first = spoken[0]
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("forged adverts keep the node from taking over: %+v", s.node.Group(group))
		}
		time.Sleep(20 * time.Millisecond)
	}
	took := first.At.Sub(last)
	t.Logf("took over %v after the last true advert, %d forged ones notwithstanding", took, sent)
	if took < skewed(10) || took > skewed(10)+time.Second {
		t.Errorf("took over after %v, want %v and a little", took, skewed(10))
	}
	total := uint64(0)
	for _, n := range s.node.Group(group).Counters.Rejected {
		total += n
	}
	if total < uint64(sent)-1 {
		t.Errorf("%d of %d forged adverts were counted", total, sent)
	}
}

// Adverts for an unknown VHID, and VRRP on our VHID, are passed on and counted, and change nothing.
func TestForeignVRRPAndForeignVHIDChangeNothing(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(100))
	p := s.startMaster()
	since := s.node.Group(group).Since
	p.injector.Send(vrrp3Frame(p.frame.SrcMAC, addrClient, vip))
	s.node.WaitFor(
		group,
		"counts foreign VRRP",
		patience,
		func(g lab.GroupStatus) bool { return g.Counters.Rejected["foreign_vrrp"] == 1 },
	)
	p.injector.Send(p.build(func(f *wire.AdvertFrame) { f.Advert.VHID = 77 }))
	s.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		return metric(s.node.Metrics(),
			`vipd_advertisements_rejected_total{interface="eth0",reason="bad_vhid",vhid=""}`) == 1, "bad_vhid is counted"
	})
	if g := s.node.Group(group); g.State != lab.Master || !sameTime(g.Since, since) || !g.Dataplane.Answering {
		t.Errorf("the node is %s since %v", g.State, g.Since)
	}
}

// vrrp3Frame returns a well-formed VRRPv3 advert (RFC 5798) on the usual VHID for one address.
func vrrp3Frame(srcMAC [6]byte, src, address netip.Addr) []byte {
	vrrp := append([]byte{0x31, vhid, 100, 1, 0, 100, 0, 0}, address.AsSlice()...)
	dst := wire.MulticastV4
	pseudo := append(append(src.AsSlice(), dst.AsSlice()...), 0, lab.ProtoCARP, 0, byte(len(vrrp)))
	binary.BigEndian.PutUint16(vrrp[6:], lab.Checksum(append(pseudo, vrrp...)))
	mac := wire.MulticastMAC(dst)
	frame := append(append(mac[:], srcMAC[:]...), 8, 0, 0x45, 0xc0, 0, byte(ipSize+len(vrrp)), 0, 0, 0, 0, 255,
		lab.ProtoCARP, 0, 0)
	frame = append(append(append(frame, src.AsSlice()...), dst.AsSlice()...), vrrp...)
	ip := frame[ethSize : ethSize+ipSize]
	binary.BigEndian.PutUint16(ip[10:], lab.Checksum(ip))
	return frame
}

// Our own advert looped back to us is dropped, counted as a loop, and the node stays MASTER.
func TestLoopedAdvertIsCountedAndDeposesNobody(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	sniffer := s.port.Sniff()
	p := s.startMaster()
	since := s.node.Group(group).Since
	own := sniffer.Await(patience, "an advert of the node", func(f lab.Frame) bool {
		ad, ok := f.Advert()
		return ok && f.FromHost && !ad.Goodbye()
	})
	p.injector.Send(own.Data)
	g := s.node.WaitFor(
		group,
		"counts a loop",
		patience,
		func(g lab.GroupStatus) bool { return g.Counters.Rejected["loop"] == 1 },
	)
	if g.State != lab.Master || !sameTime(g.Since, since) || !g.Dataplane.Answering {
		t.Errorf("the node is %s since %v", g.State, g.Since)
	}
}
