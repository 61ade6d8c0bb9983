// SPDX-License-Identifier: Apache-2.0

// Package conflict decides what a node does when another host announces one of its virtual addresses:
// which announcements are conflicts, when the MASTER announces the address again, and what readers see.
// It is pure: no clock, no I/O, no goroutine.
//
// RFC 5227, section 2.4, lets a host defend its address once per DEFEND_INTERVAL (10 s). A router must not
// leave its clients with the wrong MAC for that long, and never releases an address because of an
// announcement. So the MASTER announces the address at once, at most once per second while the claims
// continue, and again a second after the last.
package conflict

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

const (
	// judgeAfter is how long a claim waits for an advert that makes it legitimate: ucarp announces the
	// address just before its first advert as MASTER.
	judgeAfter = 20 * time.Millisecond
	// defendEvery is the shortest time between two announcements of an address.
	defendEvery = time.Second
	// announcements is how many follow the last claim of an address: the first may reach a client
	// before the claim does.
	announcements = 2
	// grace is how long the host of a former ucarp MASTER may use its own MAC after its last advert.
	grace = 3 * time.Second
	// Quiet is the time without a claim after which a conflict has ended.
	Quiet = 5 * time.Minute
	// maxConflicts limits how many conflicts of a group are kept; the latest are.
	maxConflicts = 256
	// reportBurst reports go to log and history at once, then one per reportEvery, so that a flood of
	// new MACs does not displace other entries.
	reportBurst = 8
	reportEvery = time.Minute
	// batch limits how many addresses are announced at once.
	batch = 256
)

// State is the role of the group.
type State int

// Roles.
const (
	Init State = iota
	Backup
	Master
)

// MAC is a link-layer address.
type MAC = [6]byte

// Claim is an ARP or neighbour discovery message that assigns an address to another MAC than the virtual
// one. Times are CLOCK_BOOTTIME.
type Claim struct {
	At   time.Duration
	Addr netip.Addr
	// MAC is the one in the message, Source that of the frame.
	MAC, Source MAC
	Count       uint64
}

// Standing is the situation in which claims are judged.
type Standing struct {
	State State
	// Legitimate are the MACs that an owner may have besides the virtual one.
	Legitimate []MAC
	// Ucarp is the last other node that advertised if that is ucarp, whose host answers with its own
	// MAC; the zero Addr otherwise. UcarpAt is the time of its last advert.
	Ucarp   netip.Addr
	UcarpAt time.Duration
}

// Conflict is one conflict: an address and the MAC that claims it.
type Conflict struct {
	Addr        netip.Addr
	MAC, Source MAC
	Count       uint64
	First, Last time.Duration
}

// Report is an entry for log and history: a MAC and the addresses that it began to claim.
type Report struct {
	MAC, Source MAC
	At          time.Duration
	Addresses   []netip.Addr
}

// Outcome is the result of [Watch.Judge].
type Outcome struct {
	// Announce are the addresses to announce now.
	Announce []netip.Addr
	// Reports are to be logged and kept in the history.
	Reports []Report
	// Changed reports that View has changed.
	Changed bool
}

// View is an immutable copy for readers.
type View struct {
	// Conflicts are the latest conflicts, newest first.
	Conflicts []Conflict
	// Counts are the claims of each address that had a conflict.
	Counts map[netip.Addr]uint64
}

type key struct {
	addr netip.Addr
	mac  MAC
}

// defence is when an address was last announced, and how often and when it will be announced.
type defence struct {
	last, next time.Duration
	left       int
}

// Watch judges the claims of one group. The zero Watch is ready for use.
type Watch struct {
	pending   map[key]Claim
	conflicts map[key]*Conflict
	counts    map[netip.Addr]uint64
	defence   map[netip.Addr]*defence
	next      time.Duration // 0: nothing is due
	paid      time.Duration // the budget for reports is used up to then

	ucarp netip.Addr // the ucarp node
	owner MAC        // and the MAC of its host
}

// Note adds a claim, which Judge judges when it is due.
func (w *Watch) Note(c Claim) {
	k := key{c.Addr, c.MAC}
	if was, ok := w.pending[k]; ok {
		c.Count, c.At = c.Count+was.Count, was.At
	}
	if w.pending == nil {
		w.pending = make(map[key]Claim)
	}
	w.pending[k] = c
	w.wake(c.At + judgeAfter)
}

func (w *Watch) wake(at time.Duration) {
	if w.next == 0 || at < w.next {
		w.next = at
	}
}

// Next returns when Judge must be called; false if nothing is pending.
func (w *Watch) Next() (time.Duration, bool) { return w.next, w.next != 0 }

// Judge decides which claims that are due are conflicts, and which addresses to announce.
func (w *Watch) Judge(now time.Duration, s Standing) Outcome {
	if w.next == 0 || now < w.next {
		return Outcome{}
	}
	w.next = 0
	var out Outcome
	for _, k := range w.due(now) {
		c := w.pending[k]
		delete(w.pending, k)
		conflict, defend := w.verdict(c, s)
		if defend {
			w.defend(c.Addr, now)
		}
		if conflict {
			out.Changed = true
			if w.record(c, now) {
				out.add(c)
			}
		}
	}
	out.Reports = w.affordable(out.Reports, now)
	out.Announce = w.announce(now, s.State)
	return out
}

// due returns the pending claims that are due, ordered by address.
func (w *Watch) due(now time.Duration) []key {
	var out []key
	for k, c := range w.pending {
		if at := c.At + judgeAfter; at <= now {
			out = append(out, k)
		} else {
			w.wake(at)
		}
	}
	slices.SortFunc(out, func(a, b key) int {
		return cmp.Or(a.addr.Compare(b.addr), slices.Compare(a.mac[:], b.mac[:]))
	})
	return out
}

// verdict reports whether a claim is a conflict and whether to defend the address.
func (w *Watch) verdict(c Claim, s Standing) (conflict, defend bool) {
	if s.State == Init || slices.Contains(s.Legitimate, c.MAC) {
		return false, false
	}
	if s.State == Master {
		return !s.Ucarp.IsValid() || c.At-s.UcarpAt >= grace, true
	}
	if !s.Ucarp.IsValid() {
		return true, false
	}
	if w.ucarp != s.Ucarp {
		w.ucarp, w.owner = s.Ucarp, c.MAC
	}
	return c.MAC != w.owner, false
}

// record counts a conflict and reports whether it is new.
func (w *Watch) record(c Claim, now time.Duration) bool {
	if w.conflicts == nil {
		w.conflicts, w.counts = make(map[key]*Conflict), make(map[netip.Addr]uint64)
	}
	w.counts[c.Addr] += c.Count
	k := key{c.Addr, c.MAC}
	r := w.conflicts[k]
	fresh := r == nil || now-r.Last >= Quiet
	if fresh {
		if r == nil && len(w.conflicts) >= maxConflicts {
			w.forgetOldest()
		}
		r = &Conflict{Addr: c.Addr, MAC: c.MAC, First: c.At}
		w.conflicts[k] = r
	}
	r.Source, r.Last = c.Source, c.At
	r.Count += c.Count
	return fresh
}

func (w *Watch) forgetOldest() {
	var oldest key
	found := false
	for k, r := range w.conflicts {
		if !found || r.Last < w.conflicts[oldest].Last {
			oldest, found = k, true
		}
	}
	delete(w.conflicts, oldest)
}

// add adds an address to the report of its MAC.
func (o *Outcome) add(c Claim) {
	for i := range o.Reports {
		if r := &o.Reports[i]; r.MAC == c.MAC && r.Source == c.Source {
			r.Addresses = append(r.Addresses, c.Addr)
			return
		}
	}
	o.Reports = append(o.Reports, Report{MAC: c.MAC, Source: c.Source, At: c.At, Addresses: []netip.Addr{c.Addr}})
}

// affordable returns the reports that are within the budget.
func (w *Watch) affordable(reports []Report, now time.Duration) []Report {
	for i := range reports {
		spent := max(w.paid, now-reportBurst*reportEvery) + reportEvery
		if spent > now {
			return reports[:i]
		}
		w.paid = spent
	}
	return reports
}

func (w *Watch) defend(addr netip.Addr, now time.Duration) {
	d := w.defence[addr]
	if d == nil {
		if w.defence == nil {
			w.defence = make(map[netip.Addr]*defence)
		}
		d = &defence{last: now - defendEvery}
		w.defence[addr] = d
	}
	d.next, d.left = max(now, d.last+defendEvery), announcements
}

// announce returns the addresses to announce now, at most a batch. Only the MASTER defends addresses.
func (w *Watch) announce(now time.Duration, s State) []netip.Addr {
	if s != Master {
		clear(w.defence)
		return nil
	}
	var out []netip.Addr
	for addr, d := range w.defence {
		switch {
		case d.next > now:
		case d.left == 0: // defendEvery has passed since the last
			delete(w.defence, addr)
			continue
		case len(out) == batch:
		default:
			out = append(out, addr)
			d.left--
			d.last, d.next = now, now+defendEvery
		}
		w.wake(d.next)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// View returns a copy for readers.
func (w *Watch) View() *View {
	v := &View{Conflicts: make([]Conflict, 0, len(w.conflicts)), Counts: make(map[netip.Addr]uint64, len(w.counts))}
	for _, r := range w.conflicts {
		v.Conflicts = append(v.Conflicts, *r)
	}
	slices.SortFunc(v.Conflicts, func(a, b Conflict) int {
		return cmp.Or(cmp.Compare(b.Last, a.Last), a.Addr.Compare(b.Addr))
	})
	maps.Copy(v.Counts, w.counts)
	return v
}

// Keep removes all addresses for which has is false, after a reload.
func (w *Watch) Keep(has func(netip.Addr) bool) {
	maps.DeleteFunc(w.pending, func(k key, _ Claim) bool { return !has(k.addr) })
	maps.DeleteFunc(w.conflicts, func(k key, _ *Conflict) bool { return !has(k.addr) })
	maps.DeleteFunc(w.counts, func(a netip.Addr, _ uint64) bool { return !has(a) })
	maps.DeleteFunc(w.defence, func(a netip.Addr, _ *defence) bool { return !has(a) })
}
