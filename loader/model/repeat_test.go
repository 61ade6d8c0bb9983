// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"testing"

	"vipd/loader/tables"
)

// repeater is a BACKUP whose agent has permitted that repetitions of its master's adverts are withheld.
type repeater struct {
	*Harness
	settled [2]int64
}

// newRepeater returns one with a master of skew 1 in both families. Every change of the master is told at once, however
// soon it follows.
func newRepeater(t *testing.T) *repeater {
	pin(t)
	r := &repeater{Harness: NewHarness(t, DualVIPs()...)}
	r.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 3})
	r.known(r.frame4(1, 1))
	r.known(r.frame6(1, 2))
	return r
}

func (r *repeater) frame4(skew uint8, counter uint64) []byte {
	return FrameOf(DualAdvert(1, skew, 0, counter))
}

func (r *repeater) frame6(skew uint8, counter uint64) []byte {
	return Packet6{Payload: DualAdvert(1, skew, 0, counter).bytes()}.Bytes()
}

// told runs a frame and returns the event, if the agent is told.
func (r *repeater) told(frame []byte) *tables.Event {
	r.T.Helper()
	r.untold() // within half an interval it would not be told the same again
	if v, _ := r.Run(frame); v != XDPPass {
		r.T.Fatalf("verdict %d", v)
	}
	switch evs := r.drain(); len(evs) {
	case 0:
		return nil
	case 1:
		return &evs[0]
	default:
		r.T.Fatalf("%d events", len(evs))
		return nil
	}
}

// known runs a frame that is told, and permits that its repetitions are withheld.
func (r *repeater) known(frame []byte) {
	r.T.Helper()
	e := r.told(frame)
	if e == nil {
		r.T.Fatal("not told")
	}
	r.settled[familyOf(e)] = e.At
	r.Group.Withhold(r.settled)
}

// What repeats what the agent of a BACKUP knows does not wake it. It counts as any other, it is what the kernel saw
// last, and the agent finds it in the map of its family.
func TestRepetitionsAreWithheld(t *testing.T) {
	r := newRepeater(t)
	before, err := r.Group.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if h := r.Group.Heard(); h != [2]tables.Heard{} {
		t.Errorf("withheld before: %+v", h)
	}
	for i, frame := range [][]byte{r.frame4(1, 11), r.frame6(1, 12), r.frame4(1, 13)} {
		from := BootNow()
		if e := r.told(frame); e != nil {
			t.Errorf("told %+v", e)
		}
		heard, seen := r.Group.Heard(), r.Seen()
		f := i % 2
		if heard[f].At < from || heard[f].At > BootNow() || heard[f].Counter != uint64(11+i) ||
			heard[1-f].At > from || seen.At != heard[f].At || seen.Counter != heard[f].Counter {
			t.Errorf("frame %d: withheld %+v, seen %+v", i, heard, seen)
		}
	}
	after, err := r.Group.Stats()
	if err != nil || after.Received != before.Received+3 || after.EventsLost != 0 {
		t.Errorf("counted %+v, before %+v (%v)", after, before, err)
	}
}

// Everything else is told at once, and so is what the agent does not permit, or not any more.
func TestNewsAreNotWithheld(t *testing.T) {
	elsewhere := netip.MustParseAddr("192.0.2.77")
	for name, of := range map[string]func(r *repeater) []byte{
		"better priority": func(r *repeater) []byte { return r.frame4(0, 20) },
		"worse priority":  func(r *repeater) []byte { return r.frame4(2, 20) },
		"demote byte":     func(*repeater) []byte { return FrameOf(DualAdvert(1, 1, 1, 20)) },
		"goodbye":         func(*repeater) []byte { return FrameOf(DualAdvert(255, 255, 0, 20)) },
		"other source": func(*repeater) []byte {
			return Packet{Src: elsewhere, Payload: DualAdvert(1, 1, 0, 20).bytes()}.Bytes()
		},
		"as MASTER": func(r *repeater) []byte {
			r.Master(4)
			return r.frame4(1, 20)
		},
		"in INIT": func(r *repeater) []byte {
			r.Group.SetRole(tables.Role{State: tables.RoleInit, Generation: 3})
			return r.frame4(1, 20)
		},
		"permission withdrawn": func(r *repeater) []byte {
			r.Group.Withhold([2]int64{0, r.settled[1]})
			return r.frame4(1, 20)
		},
		"permission for an earlier advert": func(r *repeater) []byte {
			r.told(r.frame4(2, 19))
			return r.frame4(1, 20)
		},
		"permission for the other family": func(r *repeater) []byte {
			r.Group.Withhold([2]int64{r.settled[1], r.settled[0]})
			return r.frame4(1, 20)
		},
		"changed there and back": func(r *repeater) []byte {
			r.told(r.frame4(2, 18))
			r.told(r.frame4(1, 19))
			return r.frame4(1, 20)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepeater(t)
			if e := r.told(r.frame4(1, 10)); e != nil {
				t.Fatalf("not withheld at first: %+v", e)
			}
			before := r.Group.Heard()
			if e := r.told(of(r)); e == nil || e.Counter != 20 {
				t.Errorf("told %+v", e)
			}
			if h := r.Group.Heard(); h[0].Counter == 20 || h[1] != before[1] {
				t.Errorf("withheld %+v, before %+v", h, before)
			}
		})
	}
}

// A slot that another group takes over has no permission and nothing withheld.
func TestRepetitionsEndWithTheGroup(t *testing.T) {
	r := newRepeater(t)
	r.told(r.frame4(1, 10))
	r.Fresh(GoldenSpec(DualVIPs()...))
	r.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 3})
	for range 2 {
		if e := r.told(r.frame4(1, 11)); e == nil {
			t.Error("withheld from a new group")
		}
	}
	if h := r.Group.Heard(); h != [2]tables.Heard{} {
		t.Errorf("withheld %+v", h)
	}
}
