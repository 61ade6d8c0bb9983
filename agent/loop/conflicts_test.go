// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/wire"
	"vipd/loader"
)

var intruderMAC = [6]byte{2, 0, 0, 0, 0, 0x66}

// claim is what the data plane tells of another host's announcement, now.
func (b *bench) claim(addr string, mac [6]byte) {
	b.claims = append(b.claims, loader.Claim{
		At: b.now, IfIndex: 10, VHID: 1, Addr: netip.MustParseAddr(addr), MAC: mac, Source: mac, Count: 1,
	})
	b.catchUp()
}

// sleep goes round like the loop, which wakes up by itself, for a while.
func (b *bench) sleep(d time.Duration) {
	for end := b.now + int64(d); b.now < end; {
		var retry election.Instant
		_, wake := b.nextWake(b.clock.Now(), &retry)
		b.now = min(end, max(int64(wake), b.now+int64(time.Millisecond)))
		b.pass(0)
	}
}

func announcements(log []string) (n int) {
	for _, line := range log {
		if line == "gratuitous arp" {
			n++
		}
	}
	return n
}

func TestForeignAnnouncementOfAMaster(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.sleep(10 * time.Second) // past the announcements of the takeover
	events, forget := b.stream.Follow()
	defer forget()
	b.drain()
	b.claim("192.0.2.100", intruderMAC)
	b.sleep(50 * time.Millisecond)
	if n := announcements(b.drain()); n != 1 {
		t.Errorf("%d announcements at once, want 1", n)
	}
	b.sleep(1100 * time.Millisecond)
	if n := announcements(b.drain()); n != 1 {
		t.Errorf("%d announcements a second later, want 1", n)
	}
	b.sleep(3 * time.Second)
	if n := announcements(b.drain()); n != 0 {
		t.Errorf("%d announcements after that", n)
	}
	st := b.status()
	g := st.Groups[0]
	if len(g.AddressConflicts) != 1 || g.AddressConflicts[0].MAC != "02:00:00:00:00:66" ||
		g.AddressConflicts[0].Count != 1 ||
		g.AddressConflicts[0].Address != "192.0.2.100" {
		t.Errorf("conflicts %+v", g.AddressConflicts)
	}
	if !slices.Contains(g.Faults, "address_conflict") {
		t.Errorf("faults %v", g.Faults)
	}
	past := b.history.Last("eth0@1", 1).Transitions[0]
	if past.Reason != api.ReasonAddressConflict || past.Conflict == nil || past.Conflict.MAC != "02:00:00:00:00:66" ||
		past.From != "MASTER" ||
		past.To != "MASTER" {
		t.Errorf("history %+v", past)
	}
	if tr, _ := b.history.Newest("eth0@1"); tr.Conflict != nil {
		t.Errorf("the last transition is %+v", tr)
	}
	select {
	case ev := <-events:
		if ev.Event != api.EventConflict || ev.Transition.Conflict.MAC != "02:00:00:00:00:66" {
			t.Errorf("event %+v", ev)
		}
	default:
		t.Error("no event in the stream")
	}
	if snap := b.operator.Snapshot(); snap.Groups[0].VIPs[0].Conflicts != 1 {
		t.Errorf("metrics %+v", snap.Groups[0].VIPs)
	}
	b.sleep(5 * time.Minute)
	g = b.status().Groups[0]
	if slices.Contains(g.Faults, "address_conflict") || len(g.AddressConflicts) != 1 {
		t.Errorf("after five quiet minutes: faults %v, conflicts %+v", g.Faults, g.AddressConflicts)
	}
}

func TestForeignAnnouncementOfABackup(t *testing.T) {
	for name, tc := range map[string]struct {
		master [6]byte // Ethernet source of its adverts
		want   int
	}{"beside a CARP master": {wire.VirtualMAC(1), 1}, "ucarp becomes master": {wire.UcarpMAC(1), 0}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
			b.claim("192.0.2.100", intruderMAC) // its host's own MAC, just before its first advert
			b.planes["10@1"].seen = loader.Seen{Count: 1, Event: loader.Event{
				At: b.now + 1, IfIndex: 10, VHID: 1, Src: netip.MustParseAddr("192.0.2.12"), SrcMAC: tc.master, AdvBase: 1,
			}}
			b.drain()
			b.sleep(100 * time.Millisecond)
			if n := announcements(b.drain()); n != 0 {
				t.Errorf("%d announcements of a BACKUP", n)
			}
			if got := b.status().Groups[0].AddressConflicts; len(got) != tc.want {
				t.Errorf("conflicts %+v, want %d", got, tc.want)
			}
		})
	}
}
