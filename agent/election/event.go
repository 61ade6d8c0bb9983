// SPDX-License-Identifier: Apache-2.0

package election

import "net/netip"

// Event is something that happened: one of the types of this file.
type Event interface{ event() }

// Up says that all the group needs is there: interface, link, address, data plane,
// permission. INIT becomes BACKUP; elsewhere it has no effect.
type Up struct{ Reason Reason }

// Down says that something is missing. The group is in INIT at once, silently.
type Down struct{ Reason Reason }

// Advert is an authentic foreign advertisement. It never promotes by itself: the next
// Tick decides, on the newest one.
type Advert struct {
	At  Instant // kernel receive time
	Src netip.Addr
	Priority
	Aware      bool   // the source is known to mean its demote byte; see Superior
	DemoteEver bool   // the source has ever sent a demote byte other than 0
	Yielded    bool   // the kernel yielded because of it
	Generation uint64 // of the kernel's role entry when it was received
}

// Yielded says that the kernel's record shows a yield of this generation (or a later
// one) that no Advert explained.
type Yielded struct{ Generation uint64 }

// Tick asks for decisions on time: after each drained batch and at Deadline.
type Tick struct {
	// Blind says that since the Tick before, the data plane refused adverts of this
	// group unread for want of budget: that none was heard proves nothing then.
	Blind bool
}

// Sending says that the SendAdvert before it is about to be carried out, with all that
// came before it done, and that the kernel has just been asked for a yield. What it
// answers is to be carried out before the send.
type Sending struct{}

// Sent is the outcome of the SendAdvert before it.
type Sent struct {
	T0      Instant // before the first of its packets was handed to the kernel
	Goodbye bool    // as in the SendAdvert
	OK      bool    // every family was accepted by the kernel
}

// Demotion tells the sum of all demotions, which may be negative.
type Demotion struct{ Total int }

// Release asks to give the group up in good order: a MASTER says goodbye and speaks on
// until its successor does or its lease ends, at most 5 s. Ends with Released in INIT.
type Release struct{ Reason Reason }

// Yield asks a MASTER to hand the group over and stay BACKUP: it advertises skew 240, and
// when an interval later nobody has taken over, says 255/255 once and waits again. Without
// a successor it stays MASTER. Handover is the answer, to each request that finds none
// under way and to all that join one.
type Yield struct {
	// Force gives the group up even if nobody takes over. It comes back by itself after
	// twice the master-down time if nobody has taken over by then.
	Force bool
	// Wait is for a node that is demoted already (maintenance): its priority is left to
	// its Demotion, and so is whether it preempts afterwards.
	Wait bool
}

// Stay withdraws a Yield with Wait under way, and no other: the node is not to be relieved after all.
// The Demotion that goes with it comes before.
type Stay struct{}

// Reconfigure changes the configuration and keeps the state.
type Reconfigure struct{ Config }

func (Up) event()          {}
func (Down) event()        {}
func (Advert) event()      {}
func (Yielded) event()     {}
func (Tick) event()        {}
func (Sending) event()     {}
func (Sent) event()        {}
func (Demotion) event()    {}
func (Release) event()     {}
func (Yield) event()       {}
func (Stay) event()        {}
func (Reconfigure) event() {}
