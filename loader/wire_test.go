// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"testing"
	"time"

	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
	"vipd/loader/tables"
)

// TestOnTheWire sends real frames through a veth pair: an answer comes back, the
// fence holds, an advert wakes us.
func TestOnTheWire(t *testing.T) {
	for _, tc := range []struct {
		ns     string
		mode   attach.Mode
		clsact bool
	}{
		{"loader-wire", attach.ModeGeneric, false},
		{"loader-wirecls", attach.ModeGeneric, true},
		{"loader-wiretc", attach.ModeTC, false},
		{"loader-wiretccls", attach.ModeTC, true},
	} {
		ns, clsact := tc.ns, tc.clsact
		t.Run(ns, func(t *testing.T) {
			ours, peer := kerneltest.Pair(t, ns)
			index := ours.Attrs().Index
			d := openTest(t, Options{ForceClsact: clsact})
			if _, err := d.Attach(index, "ours", tc.mode); err != nil {
				t.Fatal(err)
			}
			s := model.GoldenSpec("192.0.2.1")
			s.IfIndex = index
			g, err := d.AddGroup(s)
			if err != nil {
				t.Fatal(err)
			}
			far, near := kerneltest.PacketSocket(t, peer), kerneltest.PacketSocket(t, ours)

			far.Send(model.ARPFor("192.0.2.1").Bytes())
			if f := far.Receive(kerneltest.IsARP, 200*time.Millisecond); f != nil {
				t.Errorf("answered while not master: %x", f)
			}
			own := model.ARP{
				DstMAC: model.BroadcastMAC,
				SrcMAC: model.NICMAC,
				Op:     1,
				SHA:    model.NICMAC,
				SIP:    "192.0.2.1",
				TIP:    "192.0.2.2",
			}
			near.Send(own.Bytes())
			if f := far.Receive(kerneltest.IsARP, 200*time.Millisecond); f != nil {
				t.Errorf("spoke for the VIP while not master: %x", f)
			}

			g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 1, Lease: model.BootNow() + 60e9})
			g.SetSentPriority(tables.Priority{AdvBase: 1})
			far.Send(model.ARPFor("192.0.2.1").Bytes())
			answer := model.ARP{
				DstMAC: model.PeerMAC,
				SrcMAC: model.VMAC(1),
				Op:     2,
				SHA:    model.VMAC(1),
				SIP:    "192.0.2.1",
				THA:    model.PeerMAC,
				TIP:    "192.0.2.2",
			}.Bytes()
			if f := far.Receive(kerneltest.IsARP, 5*time.Second); !bytes.Equal(f[:min(len(f), 42)], answer) {
				t.Errorf("answer %x, want %x", f, answer)
			}
			near.Send(own.Bytes())
			own.SrcMAC, own.SHA = model.VMAC(1), model.VMAC(1)
			if f := far.Receive(kerneltest.IsARP, 5*time.Second); !bytes.Equal(f, own.Bytes()) {
				t.Errorf("our request left as %x, want %x", f, own.Bytes())
			}

			far.Send(model.FrameOf(model.Advert(0, 1, 0, 7)))
			select {
			case <-d.Wake():
			case <-time.After(5 * time.Second):
				t.Fatal("no token")
			}
			evs, err := d.Drain(nil)
			if err != nil || len(evs) != 1 || !evs[0].Yielded || evs[0].IfIndex != index {
				t.Errorf("events %+v, %v", evs, err)
			}
			if ans, err := g.Answering(model.BootNow()); err != nil || ans {
				t.Errorf("answering %v, %v after a better advert", ans, err)
			}
		})
	}
}
