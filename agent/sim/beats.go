// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vipd/agent/election"
)

// This file contains beats (agent/election/beat.go), switches that police multicast, and what the invariants need for
// both.

// Beating returns s with masters that have a beat, on a segment and hosts that are fast enough. Some nodes have none,
// some do not know beats, and reloads change them. All of this depends on the seed.
func (s Scenario) Beating() Scenario {
	c := newStream(s.Seed, "beating")
	const ms = time.Millisecond
	s.Beat = oneOf(c, ms, 2*ms, 5*ms, 5*ms, 10*ms, 10*ms, 20*ms, 30*ms)
	s.Latency = min(s.Latency, s.Beat/10)
	s.Lag = oneOf(c, 0, s.Beat/20)
	s.Hosts, s.Groups = min(s.Hosts, 5), min(s.Groups, 2)
	if s.Trailers == TrailersOff {
		s.Trailers = TrailersSent
	}
	// An advert is an event, so a run has about as many beats whatever their length.
	s.Chaos = min(s.Chaos, max(3000*s.Beat, 5*time.Second))
	s.Faults |= beatFaults
	if c.chance(300) {
		s.Faults &^= 1 << faultPolice // else nearly every overlap has an excuse
	}
	return s
}

// beatFaults have their own stream, so that other runs do not change.
const beatFaults = FaultSet(1<<faultBeat | 1<<faultPolice)

// setBeat draws the beat of a host, and whether it knows what a beat is.
func (w *World) setBeat(h *host, m *member) {
	if w.Beat == 0 || h.peer != PeerNone {
		return
	}
	m.cfg.Beat = oneOf(w.beats, w.Beat, w.Beat, w.Beat, min(2*w.Beat, maxBeat), 0)
	if len(h.members) == 0 {
		h.beatless = w.beats.chance(150)
	}
	if h.beatless {
		m.cfg.Beat = 0
	}
	if w.AdvBase == 0 && m.cfg.Beat >= interval(m.cfg) {
		m.cfg.Beat = 0
	}
}

const (
	maxBeat   = 30 * time.Millisecond
	startTime = time.Second // a machine counts no beats before
)

// strikeBeats starts beat faults until the given time.
func (w *World) strikeBeats(until time.Duration) {
	if w.Beat == 0 || w.Faults&beatFaults == 0 {
		return
	}
	w.recur(w.beats, 2*min(w.Pace, 50*w.Beat), until, func() {
		k := faultBeat
		if w.Faults&(1<<k) == 0 || w.Faults&(1<<faultPolice) != 0 && w.beats.chance(300) {
			k = faultPolice
		}
		w.beginBeat(k)
	})
}

func (w *World) beginBeat(k faultKind) {
	f := &fault{kind: k}
	h := w.hosts[w.beats.below(len(w.hosts))]
	m := h.members[w.beats.below(len(h.members))]
	duration := w.beats.between(0, oneOf(w.beats, 5*w.Beat, 20*w.Beat, 2*time.Second, 10*time.Second))
	beat := oneOf(w.beats, 0, 0, w.Beat, min(2*w.Beat, maxBeat), min(5*w.Beat, maxBeat))
	police := police{rate: oneOf(w.beats, 3, 30, 200), burst: oneOf(w.beats, 1, 5, 50), window: w.beats.chance(500)}
	if k == faultPolice {
		if h.police != nil {
			return
		}
		h.police = &police
		f.what = fmt.Sprintf("%s, %+v", h.name, police)
		f.end = func() { h.police = nil }
		w.net.policed++
		w.net.update()
		end := f.end
		f.end = func() { end(); w.net.policed--; w.net.update() }
		w.started(f, duration)
		return
	}
	if !h.running() || h.peer != PeerNone || h.beatless {
		return
	}
	cfg := m.cfg
	cfg.Beat = beat
	f.what = fmt.Sprintf("%s@%d from %v to %v", h.name, m.group.vhid, m.cfg.Beat, beat)
	w.reload(m, cfg)
	f.end = func() { w.reload(m, m.normal) }
	w.started(f, duration)
}

// police is a switch port that lets through a limited number of frames per second to a host: a token bucket, or a
// number per second, after which everything is dropped until the second ends (storm control).
type police struct {
	rate   int // frames per second
	burst  int
	window bool

	tokens float64
	since  time.Duration
}

func (p *police) passes(now time.Duration) bool {
	if p.window {
		if now.Truncate(time.Second) != p.since {
			p.since, p.tokens = now.Truncate(time.Second), float64(p.rate)
		}
	} else {
		p.tokens = min(p.tokens+float64(now-p.since)/float64(time.Second)*float64(p.rate), float64(p.burst))
		p.since = now
	}
	if p.tokens < 1 {
		return false
	}
	p.tokens--
	return true
}

// beatLog is what the invariants need to judge takeovers that beats decided.
type beatLog struct {
	started election.Instant // the machine
	owned   election.Instant // end of its last lease, if it could not renew that
	got     [2]int           // number of the last send of each family's last sender that arrived
	gaveUp  *member          // the master that was given up, because its beats were missing
	heard   lastHeard        // of it, at that time
	down    time.Duration    // its ordinary master-down time
	back    time.Duration    // after what time it was heard again; 0 = it was not
	excused bool             // it claimed, or states no beat
	pauses  [8]harmless      // of a host, that proved harmless
	longest time.Duration    // of all pauses that may have proved harmless
}

// lastHeard is the advert of a master that was heard last.
type lastHeard struct {
	src netip.Addr
	at  election.Instant
	now time.Duration // the same time
}

// harmless is the longest pause of a master that was given up, and was alive.
type harmless struct {
	until election.Instant // a shorter one must not make a takeover until then
	pause time.Duration
}

// inBeats reports whether a decision on silence that was due at that time was made in beats.
func (m *member) inBeats(due election.Instant) bool {
	k := &m.kernel
	ordinary := min(m.patience, m.ordinary(k.record.Advert))
	if m.cfg.AdvBase == 0 {
		ordinary = m.ordinary(k.record.Advert)
	}
	return k.known && k.record.Beat > 0 && due.Sub(k.record.At) < ordinary && k.record.At > m.owned
}

// ordinary returns the shortest master-down time of a master that sent a, without a beat.
func (m *member) ordinary(a election.Advert) time.Duration {
	if m.cfg.AdvBase == 0 {
		return 3 * a.Priority.Interval()
	}
	return minDown(m.cfg)
}

// sender returns the member that an advert of m's group is from, by its source, or nil.
func (m *member) sender(a election.Advert) *member {
	i := slices.IndexFunc(m.group.members, func(o *member) bool { return o.host.owns(a.Src) })
	if i < 0 {
		return nil
	}
	return m.group.members[i]
}

// silenced checks a takeover after silence that was counted in beats.
func (w *World) silenced(m *member, t election.Transition) {
	due := t.At.Add(-t.Lag)
	k, heard := &m.kernel, m.machine.View().Master
	if heard.Beat > 0 && heard.At > m.owned { // fast mode may count in beats for longer than inBeats knows
		m.gaveUp, m.down, m.back, m.excused = m.sender(heard), m.ordinary(heard), 0, !m.inBeats(due)
		m.heard = lastHeard{heard.Src, heard.At, w.now - t.At.Sub(heard.At)}
		if m.gaveUp == nil || m.gaveUp == m {
			m.gaveUp, m.longest = nil, time.Hour // an attacker decides when that master is heard again
		}
	}
	if !m.inBeats(due) {
		return
	}
	w.stats.InBeats++
	o := m.sender(k.record.Advert)
	if o == nil || o == m || m.group.forged+echo(m.cfg) > w.now {
		return
	}
	if p, paused := m.pauses[o.host.id%len(m.pauses)], due.Sub(k.record.At); t.At < p.until && paused < 2*p.pause {
		w.fail(m, "doubt", "takes over from %s after %v without a beat, and %v proved harmless", o.host.name, paused, p.pause)
	}
	// Of a master that goes on, two adverts in a row are lost at least.
	family := election.FamilyOf(k.record.Src) - election.IPv4
	lost := o.nth-m.got[family] == 1 && o.sentAt+w.net.flight < w.now
	if m.unsent.count > 0 && m.unsent.heard == heard.At {
		lost = false // since its last claim failed, another node may have become MASTER, which states no beat
	}
	since := max(o.host.troubled, o.host.clock.when(o.machine.View().Since, 0)) // of its term
	if w.answering(o) && lost && w.well(o) && since+4*m.unit(k.record.Beat) < w.now {
		w.fail(m, "doubt", "takes over from %s, of which it missed one advert", o.host.name)
	}
	w.inOrder(m, o)
}

// inOrder checks that no better backup, which heard the same last advert, still waits.
func (w *World) inOrder(m, o *member) {
	k := &m.kernel
	if max(m.group.disturbed, m.group.movedBefore)+max(echo(m.cfg), 4*time.Second) > w.now {
		return // they may have heard different things
	}
	for _, x := range m.group.members {
		v := x.machine.View()
		r := &x.kernel.record
		if x == m || x == o || !w.well(x) || w.speechless(x.host) || x.host.beatless ||
			x.host.ringCap < ringSize || // its machine may not know yet what the master states
			v.State != election.Backup || v.Extensions > 0 ||
			r.counter != k.record.counter || r.Src != k.record.Src || v.Hold != election.HoldNone || v.Distrusted.IsValid() ||
			x.healthy+echo(m.cfg) > w.now || v.Waiting != election.WaitMasterDown && v.Waiting != election.WaitExtension {
			continue
		}
		// Its rank is lower, by so much.
		step := k.record.Beat / 256
		ahead := time.Duration(int(m.cfg.AdvSkew)-int(x.cfg.AdvSkew))*step - step/2
		w.stats.Ordered++
		if ahead > w.net.flight+m.host.latency()+x.host.latency()+2*slack/100 {
			w.fail(m, "order", "takes over before %s, which is better and heard the same last advert: it waits until %v",
				x.host.name, time.Duration(v.Next))
		}
	}
}

// noteBeat follows a master that was given up and is heard again. Unless it claims and says so, its pause was harmless.
func (w *World) noteBeat(m *member, s election.Advert) {
	o := m.gaveUp
	if o == nil || s.At <= m.heard.at || m.sender(s) != o {
		return
	}
	if m.back == 0 {
		m.back = s.At.Sub(m.heard.at)
	}
	claims := s.Beat/time.Microsecond%2 == 1
	m.excused = m.excused || claims || s.Beat == 0
	// Not started since then, as far as m can know: a claim may have been lost, also in a full ring.
	lost := m.group.disturbed >= m.heard.now || m.host.ringCap < ringSize
	if !claims && (o.host.began <= m.heard.now || lost) {
		m.longest = max(m.longest, s.At.Sub(m.heard.at))
	}
	if s.Src != m.heard.src {
		return // m may not know whose it is
	}
	m.gaveUp = nil
	if m.excused || s.At.Sub(m.heard.at) >= m.down {
		return
	}
	p := &m.pauses[o.host.id%len(m.pauses)]
	if s.At >= p.until {
		p.pause = 0
	}
	*p = harmless{s.At.Add(time.Minute), max(p.pause, m.back)}
	if w.tracing {
		w.notef(m.host, m.group, "has given up %s, which states a beat of %v, after %v", o.host.name, s.Beat, m.back)
	}
}

// unit returns the longest unit in which m may count beats: twice the longest pause that was harmless is three units.
func (m *member) unit(beat time.Duration) time.Duration { return max(beat, (2*m.longest+2)/3) }

// checkWait checks that a BACKUP does not wait for beats longer than the pauses of its masters explain: twice the
// longest one that was harmless, and its rank.
func (w *World) checkWait(m *member) {
	v := m.machine.View()
	if v.State != election.Backup || v.Master.Beat == 0 || v.Master.At < v.Since || !m.host.running() ||
		v.Master.At < m.started.Add(startTime) {
		return
	}
	limit := 4 * m.unit(v.Master.Beat)
	if v.DownTime > limit {
		w.fail(m, "wait", "waits %v for a beat, more than %v: %+v", v.DownTime, limit, v)
	}
}
