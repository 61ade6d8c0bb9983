// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"vipd/loader/livetest"
	"vipd/tests/lab"
)

const (
	floodBurst = 1 << 19   // frames of one run of the generator: a fraction of a second
	floodBatch = 64        // as loader's liveBatch
	floodCap   = 400 << 20 // in all, whatever the time
)

// forger makes a forged advert of the master's last one.
type forger struct {
	name  string
	forge func(ip, carp []byte)
	// needs is true of what only a group that requires trailers refuses.
	needs bool
	size  int // of the payload; 0: as it was
}

// forgers returns what an attacker on the segment may try, who has captured adverts but not the password. Each would be
// a reason to yield or to take over, if it were believed.
func forgers() []forger {
	stranger, nobody := netip.MustParseAddr("192.0.2.66").As4(), [4]byte{}
	from := func(src [4]byte, forge func(ip, carp []byte)) func(ip, carp []byte) {
		return func(ip, carp []byte) { copy(ip[12:], src[:]); forge(ip, carp) }
	}
	junk := func(carp []byte) {
		for o := 16; o < 36; o += 4 {
			binary.BigEndian.PutUint32(carp[o:], rand.Uint32())
		}
	}
	anyDigest := func(_, carp []byte) { binary.BigEndian.PutUint64(carp[8:], rand.Uint64()); junk(carp) }
	anyTag := func(_, carp []byte) { binary.BigEndian.PutUint64(carp[44:], rand.Uint64()) }
	next := func(_, carp []byte) {
		binary.BigEndian.PutUint64(carp[8:], binary.BigEndian.Uint64(carp[8:])+1+rand.Uint64N(1e6))
		junk(carp)
	}
	keep := func(_, _ []byte) {}
	return []forger{
		{name: "from a stranger's address", forge: from(stranger, anyDigest)},
		{name: "from the master's address", forge: anyDigest},
		{name: "a captured advert from the master's address, its tag guessed", forge: anyTag},
		{name: "a captured advert from no address, its tag guessed", forge: from(nobody, anyTag)},
		{name: "a captured advert from a stranger's address, its tag guessed", forge: from(stranger, anyTag)},
		{name: "a captured advert from the master's address without its trailer", forge: keep, size: 36},
		{
			name: "a captured advert from a stranger's address without its trailer", forge: from(stranger, keep),
			size: 36, needs: true,
		},
		{name: "from the master's address with its next counters and without a trailer", forge: next, size: 36},
		{name: "from the master's address with its next counters", forge: next},
	}
}

// forgeAll makes frames of all forgers in turn, and the captured advert as it was.
func forgeAll(last lab.Frame, forgers []forger) [][]byte {
	frames := make([][]byte, 256)
	for i := range frames {
		f := forgers[i%len(forgers)]
		frame := append([]byte(nil), last.Data...)
		if i%16 == 15 {
			frames[i] = frame
			continue
		}
		if f.size > 0 {
			frame = cut(frame, f.size)
		}
		frame = rewrite(frame, func(ip, carp []byte) {
			carp[5], carp[2] = 1, 0 // advbase and advskew
			if i%8 == 0 {
				carp[5], carp[2] = 255, 255 // a goodbye
			}
			f.forge(ip, carp)
		})
		// The generator wants one length. Ethernet pads short frames, too.
		frames[i] = append(frame, make([]byte, len(last.Data)-len(frame))...)
	}
	return frames
}

// floodCase is one flood. The master's adverts come in on the flood's CPU, where one budget has to do for both, but
// cannot come in its very midst there; apart, they come from another CPU and mostly do.
type floodCase struct {
	name, mode string
	who        []forger
	apart      bool
}

// floodCases gives each forger a flood of its own, or, where there is little time, all of them one.
func floodCases(long bool) (cases []floodCase) {
	all := forgers()
	for _, mode := range []string{"native", "tc", "generic"} {
		if !long {
			cases = append(cases, floodCase{"from all at once", mode, all, mode != "native"})
			continue
		}
		for i, f := range all {
			cases = append(cases, floodCase{f.name, mode, all[i : i+1], i == len(all)-1})
		}
	}
	return cases
}

// A flood of forged adverts, as fast as the kernel itself can send, starves neither the master's own adverts nor a
// BACKUP's patience, and costs the agent nothing. Runs alone: it takes a core. make bench-flood has it go on for
// VIPD_FLOOD.
func TestFloodOfForgedAdvertsChangesNothing(t *testing.T) {
	text, long := os.LookupEnv("VIPD_FLOOD")
	duration := 4 * time.Second // longer than the node's master-down time
	if long {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("VIPD_FLOOD: %v", err)
		}
	}
	for _, tc := range floodCases(long) {
		t.Run(tc.mode+" "+tc.name, func(t *testing.T) { tc.run(t, duration) })
	}
}

func (tc floodCase) run(t *testing.T, duration time.Duration) {
	victim := oneVIP(100)
	victim.Mode = tc.mode
	if slices.ContainsFunc(tc.who, func(f forger) bool { return f.needs }) {
		victim = withExtra(victim, "require_trailer = true\n")
	}
	p := newPair(t, oneVIP(0), victim)
	adverts := p.clientPort.Sniff()
	if err := p.b.Within(func() error { return livetest.Accept("eth0") }); err != nil {
		t.Fatal(err)
	}
	p.start()
	cpus, err := lab.CPUs()
	if err != nil {
		t.Fatal(err)
	}
	if tc.apart {
		p.a.Proc().Pin(cpus[len(cpus)-1])
	} else {
		p.a.Proc().Pin(cpus[0])
	}
	forge := func() [][]byte {
		last := adverts.Frames().Adverts(vhid).Where(func(f lab.Frame) bool { ad, _ := f.Advert(); return ad.Src == addrA })
		return forgeAll(last[len(last)-1], tc.who)
	}
	gen := livetest.New(t, forge()...)

	before := count(p)
	busyA, busyB, start := p.a.Proc().CPU(), p.b.Proc().CPU(), time.Now()
	var forged uint64
	for time.Since(start) < duration && forged < floodCap {
		frames := forge()
		err := p.portB.OnSwitch(func(ifindex int) error {
			if err := gen.Load(frames...); err != nil {
				return err
			}
			return lab.OnCPU(cpus[0], func() error {
				_, err := gen.Send(ifindex, floodBurst, floodBatch)
				return err
			})
		})
		if err != nil && !errors.Is(err, livetest.ErrInterrupted) {
			t.Fatal(err)
		}
		if forged, err = gen.Sent(); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(start)
	busyA, busyB = p.a.Proc().CPU()-busyA, p.b.Proc().CPU()-busyB // without what asking costs
	percent := func(busy time.Duration) float64 { return 100 * busy.Seconds() / took.Seconds() }
	t.Logf("%.0f forged adverts a second for %v; the agent took %.2f %% of a core, the master's %.2f %%",
		float64(forged)/took.Seconds(), took.Round(time.Millisecond), percent(busyB), percent(busyA))
	// 2 % is the aim; of some seconds, what else the node does then counts as well.
	if limit := took/50 + 50*time.Millisecond; busyB > limit {
		t.Errorf("the agent took %v of processor time in %v, more than %v", busyB, took, limit)
	}
	count(p).since(before).judge(t, forged)
}

// tally is what a flood is judged by.
type tally struct {
	a, b                   lab.GroupStatus
	transitions            float64
	arrived, dropped       uint64 // frames for b
	said, received         uint64 // true adverts
	refused, unread, other uint64 // adverts that b refused
}

// count reads everything between two adverts: when one has come, and both nodes' counts have then stood still for a
// quarter of the interval. A busy master's agent counts what it has sent some time after it has arrived.
func count(p *pair) (n tally) {
	p.Helper()
	heard := p.b.Group(group).Counters.Received
	p.b.WaitFor(
		group,
		"hears its master",
		patience,
		func(g lab.GroupStatus) bool { return g.Counters.Received > heard },
	)
	p.Eventually(patience, 250*time.Millisecond, func() (bool, string) {
		said, received := n.said, n.received
		n.a, n.b = p.a.Group(group), p.b.Group(group)
		n.said, n.received = n.a.Counters.Sent, n.b.Counters.Received
		return said == n.said && received == n.received, "no advert is under way"
	})
	n.arrived, n.dropped = p.b.Received("eth0"), p.portB.Dropped()
	n.transitions = transitions(p.a) + transitions(p.b)
	for reason, rejected := range n.b.Counters.Rejected {
		switch reason {
		case "bad_hmac", "bad_trailer", "replay":
			n.refused += rejected
		case "rate_limited":
			n.unread = rejected
		default:
			n.other += rejected
		}
	}
	return n
}

func (n tally) since(old tally) tally {
	n.transitions -= old.transitions
	n.arrived, n.dropped = n.arrived-old.arrived, n.dropped-old.dropped
	n.said, n.received = n.said-old.said, n.received-old.received
	n.refused, n.unread, n.other = n.refused-old.refused, n.unread-old.unread, n.other-old.other
	return n
}

func (n tally) judge(t *testing.T, forged uint64) {
	t.Helper()
	t.Logf("of %d forged adverts %d met a full ring, %d were refused for what they are, %d unread; "+
		"of %d true ones %d were received",
		forged, n.dropped, n.refused, n.unread, n.said, n.received)
	if n.transitions != 0 || n.a.State != lab.Master || n.b.State != lab.Backup {
		t.Errorf("%v transitions; a is %s (%s), b is %s (%s)", n.transitions, n.a.State, n.a.Reason, n.b.State, n.b.Reason)
	}
	// Of the true ones, too, one may have met a full ring.
	if n.received+min(n.dropped, 1) < n.said || n.received > n.said {
		t.Errorf("%d of the master's %d adverts were received", n.received, n.said)
	}
	// What else arrived are the true adverts and a little of IPv6.
	if refused := n.refused + n.unread; n.other != 0 || refused > forged || refused+n.received > n.arrived ||
		refused+n.received+200 < n.arrived {
		t.Errorf("%d frames arrived, %d counted as refused, %d more for other reasons", n.arrived, refused, n.other)
	}
	if n.refused+n.unread < forged/2 {
		t.Errorf("of %d forged adverts %d arrived: the test proves nothing", forged, n.arrived)
	}
}
