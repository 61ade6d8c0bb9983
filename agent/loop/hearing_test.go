// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/loader"
)

// newSettled returns a BACKUP that has heard its master, with skew 0, and permits that repetitions are withheld.
func newSettled(t *testing.T, groups ...config.Group) *bench {
	t.Helper()
	b := newBench(t, groups...)
	for _, g := range b.groups.order {
		b.ring = append(b.ring, b.advert(g.name, 0))
	}
	b.pass(0)
	for _, g := range b.groups.order {
		if p := b.planeOf(g.name); p.withhold != [2]int64{b.now, 0} {
			t.Fatalf("%s: withholds repetitions of %v, want of %d", g.name, p.withhold, b.now)
		}
	}
	return b
}

func (b *bench) planeOf(name string) *fakeGroup { return b.group(name).entry.plane.(*fakeGroup) }

// repeat lets the kernel hear the master again now, which it withholds.
func (b *bench) repeat(name string, counter uint64) {
	b.t.Helper()
	p := b.planeOf(name)
	if p.withhold[0] == 0 {
		b.t.Fatalf("%s permits nothing", name)
	}
	p.heard[0] = loader.Heard{At: b.now, Counter: counter}
	p.seen.Event = b.advert(name, 0)
	p.seen.Counter, p.seen.Count = counter, p.seen.Count+1
}

// A BACKUP whose master lives looks at what was withheld when it is due. That costs no system call, decides nothing,
// and the wait begins with the last advert. Readers see that one before the BACKUP looks.
func TestRepetitionsRestartTheWait(t *testing.T) {
	b := newSettled(t, testGroup("eth0", 1, "192.0.2.100/24"))
	g, p := b.group("eth0@1"), b.planeOf("eth0@1")
	permitted, read := p.withhold, p.read
	for i := range 100 {
		b.now += second
		b.repeat("eth0@1", uint64(i))
		if at := b.clock.At(election.Instant(b.now)); !b.status().Groups[0].Master.LastSeen.Equal(at) {
			t.Fatalf("last seen %v, want %v", b.status().Groups[0].Master.LastSeen, at)
		}
		if i%3 == 2 { // due
			b.pass(0)
			if due, _ := g.machine.Deadline(); due != election.Instant(b.now+3*second) {
				t.Fatalf("due in %v", due.Sub(election.Instant(b.now)))
			}
		}
	}
	if p.withhold != permitted || p.read != read {
		t.Errorf("withholds repetitions of %v, before of %v; the seen entry was read %d times", p.withhold, permitted,
			p.read-read)
	}
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	heard := b.now
	b.pass(3*time.Second - 1)
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	b.pass(1)
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	if v := g.machine.View().Master.At; v != election.Instant(heard) {
		t.Errorf("heard last at %v, want %v", v, heard)
	}
	if p.withhold != [2]int64{} {
		t.Errorf("as MASTER it permits repetitions of %v to be withheld", p.withhold)
	}
}

// A goodbye ends withholding in both families, and what either withheld before it comes first.
func TestGoodbyeAfterRepetitions(t *testing.T) {
	b := newSettled(t, testGroup("eth0", 1, "192.0.2.100/24", "2001:db8::100/64"))
	p := b.planeOf("eth0@1")
	six := b.advert("eth0@1", 0)
	six.Src, six.Counter = netip.MustParseAddr("fe80::12"), 6
	b.ring = append(b.ring, six)
	b.pass(time.Millisecond)
	if p.withhold[1] != six.At {
		t.Fatalf("withholds %v", p.withhold)
	}
	b.now += second
	b.repeat("eth0@1", 1)
	p.heard[1] = loader.Heard{At: b.now + 1, Counter: 2}
	b.now += second
	bye := b.advert("eth0@1", 255)
	bye.AdvBase = 255
	b.ring = append(b.ring, bye)
	b.readRing()
	v := b.group("eth0@1").machine.View()
	if !v.Master.Goodbye() || v.IPv6.At != election.Instant(p.heard[1].At) || p.withhold != [2]int64{} {
		t.Errorf("heard %+v, IPv6 %+v; withholds %v", v.Master, v.IPv6, p.withhold)
	}
	b.pass(0)
	b.expectState("eth0@1", election.Master, election.ReasonGoodbye)
}

// Adverts that were refused and programs that were missing before the last repetition say nothing about the silence
// after it.
func TestBlindBeforeARepetition(t *testing.T) {
	for name, blind := range map[string]func(b *bench){
		"refused": func(b *bench) { b.planeOf("eth0@1").seen.LimitedAt = b.now },
		"missing": func(b *bench) {
			b.interrupted[10]++
			b.noteRepair(repair{10, loader.Repaired{
				Attachment: loader.Attachment{Mode: "generic"}, Lost: []string{loader.HookXDP},
			}, nil})
		},
	} {
		for _, before := range []bool{true, false} {
			b := newSettled(t, testGroup("eth0", 1, "192.0.2.100/24"))
			b.now += second
			if before {
				blind(b)
			}
			b.now += second
			b.repeat("eth0@1", 1)
			if !before {
				b.now++
				blind(b)
			}
			b.now += 3 * second
			b.pass(0)
			if got := b.group("eth0@1").machine.State(); (got == election.Master) != before {
				t.Errorf("%s, before the last repetition: %v: %s", name, before, got)
			}
		}
	}
}

// A group that would be due soon is looked at with another one, if its master lives.
func TestGroupsAreLookedAtTogether(t *testing.T) {
	b := newSettled(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth0", 2, "192.0.2.101/24"))
	b.now += int64(200 * time.Millisecond)
	b.ring = append(b.ring, b.advert("eth0@2", 0)) // now 200 ms after the other
	b.pass(0)
	b.now += second
	b.repeat("eth0@1", 1)
	b.repeat("eth0@2", 1)
	b.pass(1800 * time.Millisecond) // the first is due
	for _, g := range b.groups.order {
		if due, _ := g.machine.Deadline(); due != election.Instant(b.now+1200*int64(time.Millisecond)) {
			t.Errorf("%s is due in %v", g.name, due.Sub(election.Instant(b.now)))
		}
	}
}

// Numbers rise above what was withheld, too, if what it repeats had a trailer.
func TestNumbersRiseWithRepetitions(t *testing.T) {
	for _, proven := range []bool{false, true} {
		b := newSettled(t, testGroup("eth0", 1, "192.0.2.100/24"))
		g := b.group("eth0@1")
		ev := b.advert("eth0@1", 0)
		ev.Proven, ev.Counter = proven, 1
		b.ring = append(b.ring, ev)
		b.pass(0)
		before := b.sequence.Last()
		counter := before + 1000
		b.now += second
		b.repeat("eth0@1", counter)
		b.pass(2 * time.Second) // a hello may take the next number
		got := b.sequence.Last()
		if risen := got == counter || got == counter+1; risen != proven || !proven && got != before ||
			g.hearing.counter != counter {
			t.Errorf("proven %v: last number %d, before %d; heard %d, want %d", proven, got, before, g.hearing.counter, counter)
		}
	}
}

// A BACKUP that would preempt but for a hold is told everything: the hold ends without an event.
func TestHeldBackIsToldEverything(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.cfg.Carp.Preempt = true
	cfg := b.electionConfig(b.group("eth0@1").cfg)
	cfg.PreemptDelay = time.Minute
	b.group("eth0@1").step(election.Reconfigure{Config: cfg})
	b.ring = append(b.ring, b.advert("eth0@1", 100))
	b.pass(0)
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	if p := b.planeOf("eth0@1"); p.withhold != [2]int64{} {
		t.Errorf("permits repetitions of %v to be withheld", p.withhold)
	}
}

// An event that waits in the ring while a newer advert of the other family is taken from the kernel's note is not lost.
func TestEventBehindARepetition(t *testing.T) {
	b := newSettled(t, testGroup("eth0", 1, "192.0.2.100/24", "2001:db8::100/64"))
	six := b.advert("eth0@1", 10)
	six.Src, six.At = netip.MustParseAddr("fe80::13"), b.now+second-1
	b.now += second
	b.repeat("eth0@1", 1)
	g := b.group("eth0@1")
	g.step(election.AwaitChecks{})
	b.ring = append(b.ring, six)
	b.pass(0)
	if v := g.machine.View(); v.IPv6.At != election.Instant(six.At) || v.Master.At != election.Instant(b.now) {
		t.Errorf("IPv6 %+v, newest %+v", v.IPv6, v.Master)
	}
}
