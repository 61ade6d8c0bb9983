// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// rxVLAN says whether the interface takes tags out of frames. Of both kinds or of none:
// a veth can do both.
func rxVLAN(t *testing.T, ifname string) bool {
	t.Helper()
	flags, err := ethtoolFlags(ifname, unix.ETHTOOL_GFLAGS, 0)
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
	on, ok := must(nic{}.Features(ifname))["rx-vlan-stag-hw-parse"]
	if !ok {
		t.Fatal("the kernel knows no rx-vlan-stag-hw-parse")
	}
	return on
}

// TestRXVLANOffload is off while we are attached, and as before afterwards.
func TestRXVLANOffload(t *testing.T) {
	ours, _ := pair(t, "loader-rxvlan")
	index := ours.Attrs().Index
	if !rxVLAN(t, "ours") {
		t.Fatal("a veth is expected to have rx-vlan-offload on")
	}
	o := Options{Dir: testDir(), MaxGroups: 4, MaxVIPs: 4}
	d := openTest(t, o)
	for range 2 {
		if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
			t.Fatal(err)
		}
		if rxVLAN(t, "ours") {
			t.Error("on while attached")
		}
	}
	if err := d.Detach(index); err != nil || !rxVLAN(t, "ours") {
		t.Errorf("after detach: on %v, %v", rxVLAN(t, "ours"), err)
	}
	if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Cleanup(o); err != nil || !rxVLAN(t, "ours") {
		t.Errorf("after cleanup: on %v, %v", rxVLAN(t, "ours"), err)
	}
	for _, feature := range []string{"rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"} {
		if err := (nic{}).Switch("ours", feature, false); err != nil {
			t.Fatal(err)
		}
	}
	d = openTest(t, Options{})
	if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
		t.Fatal(err)
	}
	if err := d.Detach(index); err != nil || rxVLAN(t, "ours") {
		t.Errorf("it was off before, and is on %v, %v", rxVLAN(t, "ours"), err)
	}
}

// fakeNIC is a driver that switches some of its features and refuses others.
type fakeNIC struct {
	on, fixed map[string]bool
	err       error
}

func (n fakeNIC) Features(string) (map[string]bool, error) { return maps.Clone(n.on), n.err }

func (n fakeNIC) Switch(_, feature string, on bool) error {
	if !n.fixed[feature] {
		n.on[feature] = on
	}
	return nil
}

// TestTagOffloads: each is switched off by itself, and one that stays on is named.
func TestTagOffloads(t *testing.T) {
	const ctag, stag = "rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"
	type set = map[string]bool
	for _, tc := range []struct {
		name  string
		nic   fakeNIC
		wasOn uint32
		says  string
	}{
		{"none", fakeNIC{on: set{"rx-checksum": true}}, 0, ""},
		{"both", fakeNIC{on: set{ctag: true, stag: true}}, ifaceRXVLAN | ifaceRXSTag, ""},
		{"802.1Q", fakeNIC{on: set{ctag: true, stag: false}}, ifaceRXVLAN, ""},
		{"802.1ad", fakeNIC{on: set{ctag: false, stag: true}}, ifaceRXSTag, ""},
		{"802.1ad stays", fakeNIC{on: set{ctag: true, stag: true}, fixed: set{stag: true}}, ifaceRXVLAN, "switch rx-vlan-stag-hw-parse of eth9 off: it stays on"},
		{"802.1Q stays", fakeNIC{on: set{ctag: true, stag: true}, fixed: set{ctag: true}}, ifaceRXSTag, "switch rx-vlan-offload of eth9 off: it stays on"},
		{"a driver without", fakeNIC{err: unix.EOPNOTSUPP}, 0, ""},
		{"nobody answers", fakeNIC{err: unix.EIO}, 0, "ask for the features of eth9"},
	} {
		wasOn, err := switchOff(tc.nic, "eth9")
		if wasOn != tc.wasOn || (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: were on %#x, %v", tc.name, wasOn, err)
		}
		for f, on := range tc.nic.on {
			if on && f != "rx-checksum" && !tc.nic.fixed[f] {
				t.Errorf("%s: %s is on", tc.name, f)
			}
		}
	}
}

// TestOtherVLAN: a request for the VIP on a VLAN is another network's.
func TestOtherVLAN(t *testing.T) {
	ours, peer := pair(t, "loader-vlan")
	// Else the tag stays beside the frame on the veth, where no XDP program sees it.
	const txVLAN = 1 << 7
	flags, err := ethtoolFlags("peer", unix.ETHTOOL_GFLAGS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ethtoolFlags("peer", unix.ETHTOOL_SFLAGS, flags&^txVLAN); err != nil {
		t.Fatal(err)
	}
	d := openTest(t, Options{})
	if _, err := d.Attach(ours.Attrs().Index, "ours", ModeAuto); err != nil {
		t.Fatal(err)
	}
	s := goldenSpec("192.0.2.1")
	s.IfIndex = ours.Attrs().Index
	g, err := d.AddGroup(s)
	if err != nil {
		t.Fatal(err)
	}
	g.SetRole(Role{State: RoleMaster, Generation: 1, Lease: bootNow() + 60e9})
	far := packetSocket(t, peer)
	far.send(arpFor("192.0.2.1").bytes())
	if f := far.receive(isARP, 5*time.Second); f == nil {
		t.Fatal("no answer without a tag")
	}
	tagAll(t, peer, 10)
	far.send(arpFor("192.0.2.1").bytes())
	if f := far.receive(isARP, 300*time.Millisecond); f != nil {
		t.Errorf("answered a VLAN's request: %x", f)
	}
	st, err := g.VIPStats()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range st {
		if v.ARPRequests != 1 {
			t.Errorf("counted %+v", v)
		}
	}
}

// tagAll gives every frame that leaves an interface a tag of 802.1Q beside it, before
// other programs on its egress see it.
func tagAll(t *testing.T, l netlink.Link, tci int32) {
	t.Helper()
	tagging, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R2, int32(bigEndian(unix.ETH_P_8021Q))),
		asm.Mov.Imm(asm.R3, tci),
		asm.FnSkbVlanPush.Call(),
		asm.Mov.Imm(asm.R0, -1),
		asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	attached, err := link.AttachTCX(link.TCXOptions{Interface: l.Attrs().Index, Program: tagging, Attach: ebpf.AttachTCXEgress, Anchor: link.Head()})
	if err := errors.Join(err, tagging.Close()); err != nil {
		t.Skipf("no tcx to tag with: %v", err)
	}
	t.Cleanup(func() {
		if err := attached.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestEgressTags: a tag with an id means that the frame is a VLAN device's, on which it was
// judged; one without is only a priority and changes nothing.
func TestEgressTags(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tci    int32
		judged bool
	}{{"a priority", 5 << 13, true}, {"a vlan", 5<<13 | 10, false}} {
		t.Run(tc.name, func(t *testing.T) {
			ours, peer := pair(t, fmt.Sprint("loader-egtags", tc.tci))
			d := openTest(t, Options{})
			if _, err := d.Attach(ours.Attrs().Index, "ours", ModeAuto); err != nil {
				t.Fatal(err)
			}
			s := goldenSpec(dualVIPs()...)
			s.IfIndex = ours.Attrs().Index
			g, err := d.AddGroup(s)
			if err != nil {
				t.Fatal(err)
			}
			tagAll(t, ours, tc.tci)
			far, near := packetSocket(t, peer), packetSocket(t, ours)
			fromVIP := map[string][]byte{
				"arp":  arp{dstMAC: broadcastMAC, srcMAC: nicMAC, op: 1, sha: nicMAC, sip: "192.0.2.1", tip: "192.0.2.2"}.bytes(),
				"ip":   packet{srcMAC: nicMAC, dstMAC: peerMAC, src: s.VIPs[0], dst: peerAddr, ttl: 64, proto: 17, payload: make([]byte, 30)}.bytes(),
				"ipv6": packet6{srcMAC: nicMAC, dstMAC: peerMAC, src: vip6, dst: peerAddr6, hops: 64, next: 17, payload: make([]byte, 30)}.bytes(),
				"nd":   nd{dstMAC: peerMAC, srcMAC: nicMAC, src: vip6, dst: peerAddr6, typ: 136, target: vip6, options: llOption(2, nicMAC)}.bytes(),
			}
			for name, f := range fromVIP {
				near.send(f)
				got := far.receive(func(got []byte) bool { return bytes.Equal(got, f) }, map[bool]time.Duration{true: 100 * time.Millisecond, false: 5 * time.Second}[tc.judged])
				if (got == nil) != tc.judged {
					t.Errorf("%s of a BACKUP: left %v", name, got != nil)
				}
			}
			st, err := g.Stats()
			if err != nil {
				t.Fatal(err)
			}
			drops := uint64(0)
			for _, n := range st.Dropped {
				drops += n
			}
			if want := map[bool]uint64{true: uint64(len(fromVIP))}[tc.judged]; drops != want {
				t.Errorf("%d frames were dropped, want %d: %v", drops, want, st.Dropped)
			}
			g.SetRole(Role{State: RoleMaster, Generation: 1, Lease: bootNow() + 60e9})
			near.send(fromVIP["arp"])
			want := vmac(1)
			if !tc.judged {
				want = nicMAC
			}
			if f := far.receive(isARP, 5*time.Second); f == nil || !bytes.Equal(f[6:12], want[:]) {
				t.Errorf("of a MASTER: %x, want it from %x", f, want)
			}
		})
	}
}
