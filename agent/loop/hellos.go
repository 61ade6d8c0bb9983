// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"net/netip"
	"time"

	"vipd/agent/election"
	"vipd/agent/peers"
	"vipd/agent/view"
	"vipd/loader"
)

const (
	// hellosPause is the least time between two turns of hellos, and batchesPerTurn how many batches leave in one at most:
	// a wake-up of this node, and of those that hear it, costs more than what it carries.
	hellosPause    = 250 * time.Millisecond
	batchesPerTurn = 20
	// maxAnswers bounds the answers that wait. A peer whose hello is not answered reports again.
	maxAnswers = 4096
	// hellosLook is how often the loop looks for hellos at least: they wake nobody (bpf/hello.h).
	hellosLook = time.Second
)

// greeter carries hellos between the data plane and the groups.
type greeter struct {
	events  []loader.HelloEvent // reused
	answers []owed              // the oldest first; also hellos to strangers
	turnAt  election.Instant    // nothing leaves before
	lookAt  election.Instant    // the ring is read by then
}

// owed is an answer that a MASTER owes to a peer, or a hello to a stranger: a vipd node whose adverts do not count
// here.
type owed struct {
	g        *group
	to       netip.Addr
	mac      [6]byte
	every    time.Duration // of the hello that is answered; [view.HelloPeriod] to strangers
	stranger bool
}

// greet hears the hellos that came, and sends those that are due, or a part of them. It comes after the machines have
// decided, and none of them waits for more than one batch.
func (l *Loop) greet(now election.Instant) {
	l.noteHellos(now)
	d, n := &l.greeter, l.View()
	d.lookAt = now.Add(hellosLook)
	if n == nil || now < d.turnAt || !l.hellosDue(now) {
		return
	}
	for range batchesPerTurn {
		l.sendHellos(n, now)
		if !l.hellosDue(now) {
			break
		}
		if at := l.groups.agenda.next(); at != 0 && at <= l.clock.Now() {
			return // the rest follows in the next round
		}
	}
	d.turnAt = now.Add(hellosPause)
}

// hellosDue reports whether any hello is to leave.
func (l *Loop) hellosDue(now election.Instant) bool {
	at := l.groups.reports.next()
	return len(l.greeter.answers) > 0 || at != 0 && at <= now
}

// sendHellos sends a batch. Answers leave half of it to reports.
func (l *Loop) sendHellos(n *view.Node, now election.Instant) {
	d, most := &l.greeter, batchSize
	if at := l.groups.reports.next(); at != 0 && at <= now {
		most /= 2
	}
	most = min(most, len(d.answers))
	for _, a := range d.answers[:most] {
		if a.stranger {
			a.g.greetStranger(n, &a)
		} else {
			a.g.answer(n, &a)
		}
	}
	d.answers = append(d.answers[:0], d.answers[most:]...)
	for range batchSize - most {
		at := l.groups.reports.next()
		if at == 0 || at > now {
			break
		}
		l.groups.reports.byDeadline[0].of.sayHello(n, now)
	}
	l.post()
}

// nextGreeting returns when the loop is to wake for hellos: to send one, or to look for those that came.
func (l *Loop) nextGreeting(now election.Instant) election.Instant {
	if at := l.nextHello(now); at != 0 {
		return min(at, l.greeter.lookAt)
	}
	return l.greeter.lookAt
}

// nextHello returns when a hello is to leave, 0 if none is due.
func (l *Loop) nextHello(now election.Instant) election.Instant {
	at := l.groups.reports.next()
	if len(l.greeter.answers) > 0 {
		at = now
	}
	if at == 0 {
		return 0
	}
	return max(at, l.greeter.turnAt)
}

// noteHellos hands the hellos that the drains have read to the groups.
func (l *Loop) noteHellos(now election.Instant) {
	d := &l.greeter
	d.events = l.plane.Hellos(d.events[:0])
	for i := range d.events {
		ev := &d.events[i]
		g := l.groups.at(ev.IfIndex, ev.VHID)
		if g == nil || g.entry.plane == nil || g.entry.plane.Slot() != ev.Slot {
			continue // it was removed meanwhile
		}
		a := owed{g: g, to: ev.Src, mac: ev.SrcMAC, every: view.HelloPeriod, stranger: len(ev.Payload) == 0}
		owes := a.stranger
		if a.stranger {
			g.heed(ev.Src, ev.Number, true)
		} else {
			a.every, owes = g.hearHello(ev, now)
		}
		if owes && len(d.answers) < maxAnswers {
			d.answers = append(d.answers, a)
		}
	}
	clear(d.events)
}

// hearHello notes what a peer says. It returns how often the peer does so, and whether it is to be answered. Readers
// get a new view only of what is new: the time of the last hello they see in the old one.
func (g *group) hearHello(ev *loader.HelloEvent, now election.Instant) (every time.Duration, owes bool) {
	gr, at := &g.greeting, election.Instant(ev.At)
	p, news, err := gr.book.Note(ev.Src, ev.SrcMAC, at, ev.Payload, g.iface.voices.Of(ev.Src, at))
	if errors.Is(err, peers.ErrFull) {
		g.noteFull(at, err)
		return 0, false
	}
	if err != nil {
		g.env.log.Debug("hello not understood", "group", g.name, "err", err)
		return 0, false
	}
	if g.iface.voices.Restarted(ev.Src, p.Hello.Run) {
		g.iface.reportAgain(ev.Src, now)
	}
	if news {
		g.meet(ev.Src) // as the kernel does
		g.env.metrics.Outdate()
		g.publish()
	}
	return p.Hello.Every, g.machine.State() == election.Master && !p.Hello.Answer && gr.book.Answer(ev.Src, now)
}

// noteFull notes that a peer cannot be listed. Such a peer gets no answer, and is none of the standbys.
func (g *group) noteFull(at election.Instant, why error) {
	gr := &g.greeting
	g.shown.CountNotListed()
	first := gr.notListed == 0 || at.Sub(gr.notListed) >= view.PeerKept
	gr.notListed = at
	if first {
		g.env.log.Warn("a vipd node is not listed, and gets no answers", "group", g.name, "err", why)
	}
	if last := g.shown.Last(); first || last == nil || at.Sub(last.NotListedAt) >= view.PeerFresh {
		g.publish()
	}
}
