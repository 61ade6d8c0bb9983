// SPDX-License-Identifier: Apache-2.0

package election

import (
	"net/netip"
	"time"
)

// Event is an input of the machine: one of the types below.
type Event interface{ event() }

// Up means that everything the group needs is available: interface, link, address, data plane,
// permission. INIT becomes BACKUP; other states do not change.
type Up struct{ Reason Reason }

// Down means that something is missing. The group enters INIT at once, without a goodbye.
type Down struct{ Reason Reason }

// Advert is an authentic advertisement of another node. It never promotes by itself: the next Tick decides
// on the newest one.
type Advert struct {
	At  Instant // kernel receive time
	Src netip.Addr
	Priority
	Beat       time.Duration // the next one comes within it, as a proven trailer states; 0 = no beat
	Aware      bool          // the source is known to use the demote byte; see Superior
	DemoteEver bool          // the source has sent a demote byte other than 0
	Yielded    bool          // the kernel yielded to it
	Generation uint64        // of the kernel's role entry at that time
	Withheld   bool          // as Settled permitted: it repeats the last one of its source, and nobody was woken
}

// Interval returns within what time the next advert comes: the beat, or else the interval of the priority.
func (a Advert) Interval() time.Duration {
	if a.Beat > 0 {
		return a.Beat
	}
	return a.Priority.Interval()
}

// Yielded means that the kernel yielded this generation, or a later one, without an Advert that explains it.
type Yielded struct{ Generation uint64 }

// Tick makes the machine decide: after each batch of adverts and at Deadline.
type Tick struct {
	// Blind means that since the previous Tick the data plane refused adverts of this group unread,
	// because their budget was used up: silence is not evidence then.
	Blind bool
	// Watched is for how long until now the loop has looked for adverts at least every LongestBlink, on behalf of all
	// groups: a decision that is late because others came first was watched all the while. 0 if that is not known.
	Watched time.Duration
}

// Sending means that the last SendAdvert is about to be carried out, that all actions before it are done,
// and that the kernel was just checked for a yield. The actions that it returns come before the send.
type Sending struct{}

// Sent is the outcome of the last SendAdvert.
type Sent struct {
	T0      Instant // before its first packet was passed to the kernel
	Goodbye bool    // as in the SendAdvert
	OK      bool    // the kernel accepted every frame
	Partial bool    // not OK: the kernel accepted some frames and refused others
}

// Demotion sets the total of all demotions, which may be negative.
type Demotion struct{ Total int }

// Release leaves the group gracefully: a MASTER sends a goodbye and keeps answering until its successor
// advertises or its lease ends, at most 5 s. It ends with Released in INIT.
type Release struct{ Reason Reason }

// HandOver makes a MASTER hand the group over and stay BACKUP: it advertises skew 240, and if no node has
// taken over an interval later, sends one goodbye (255/255) and waits again. Without a successor it stays
// MASTER. One HandoverResult answers this request and all that join it.
type HandOver struct {
	// Force releases the group even if no node takes over. It returns after twice the master-down time
	// if no node has taken over by then.
	Force bool
	// Wait is for a node that is already demoted (maintenance): priority and later preemption depend
	// on its Demotion alone.
	Wait bool
}

// Stay withdraws a running HandOver with Wait, and no other. The changed Demotion comes before it.
type Stay struct{}

// Reach reports which families and peers this node can send to. The zero value means all of them. See
// reach.go.
type Reach struct {
	Impaired bool // some cannot be reached; adverts go to the others
	Mute     bool // none can be reached
}

// Reconfigure replaces the configuration and keeps the state.
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
func (HandOver) event()    {}
func (Stay) event()        {}
func (Reach) event()       {}
func (Reconfigure) event() {}
