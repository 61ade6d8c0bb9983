// SPDX-License-Identifier: Apache-2.0

package election

import (
	"net/netip"
	"time"
)

// Action is an output of the machine: one of the types below, to be carried out in order.
type Action interface{ action() }

// SetPriority sets the priority with which the data plane compares received adverts. A worse one comes
// before the SendAdvert that states it, a better one after the advert was sent.
type SetPriority struct{ Priority }

// SetRole sets the group's role entry in the data plane.
type SetRole struct {
	State      State
	Generation uint64
	Lease      Instant // answers until then; 0 = no lease
	SendUntil  Instant // may advertise until then without a lease, and answers once it has
}

// AddVIPs adds the addresses to the host or renews them.
type AddVIPs struct{}

// RemoveVIPs removes the addresses from the host.
type RemoveVIPs struct{}

// RenewVIPs extends the lifetime of the addresses after the lease was renewed.
type RenewVIPs struct{}

// SendAdvert sends one advertisement per family and peer. Its outcome is the next event.
type SendAdvert struct {
	Priority
	Beat    time.Duration // for the trailer; 0 = no beat, as in every goodbye
	Goodbye bool          // 255/255, which may be sent without a lease
	// Whole means to send nothing unless all families and peers can be reached, because the advert
	// deposes a living owner. An advert that is not sent has failed.
	Whole bool
}

// Announce sends gratuitous ARPs and unsolicited NAs for the addresses.
type Announce struct{}

// Transition reports a change of state, after the actions that fence it.
type Transition struct {
	From, To State
	Reason   Reason
	At       Instant
	Cause    *Advert       // the advert that caused it; nil if none did
	Lag      time.Duration // from the due time, or the receipt of the advert, to At
}

// Released ends a Release: the group is in INIT and its addresses are removed.
type Released struct{ Reason Reason }

// HandoverResult answers a HandOver.
type HandoverResult struct {
	Outcome   Outcome
	Successor netip.Addr    // HandedOver: the new master; invalid if only the kernel knows it
	Goodbye   bool          // a goodbye was sent
	Took      time.Duration // since the request
}

// Outcome is the outcome of a HandOver. The zero value is invalid.
type Outcome uint8

// Outcomes of a HandOver.
const (
	HandedOver Outcome = iota + 1 // a successor is MASTER; this node answered until its first advert
	NotTaken                      // no node took over: still MASTER, soon with the previous priority
	GivenUp                       // no node took over, and Force was set: BACKUP without a MASTER
	NotMaster                     // not MASTER, or no longer MASTER for another reason
	Withdrawn                     // by Stay: still MASTER
)

// String returns the outcome as in the answer to a command.
func (o Outcome) String() string {
	if o < HandedOver || o > Withdrawn {
		return "invalid"
	}
	return [...]string{
		HandedOver: "handed_over",
		NotTaken:   "not_taken",
		GivenUp:    "given_up",
		NotMaster:  "not_master",
		Withdrawn:  "withdrawn",
	}[o]
}

func (SetPriority) action()    {}
func (SetRole) action()        {}
func (AddVIPs) action()        {}
func (RemoveVIPs) action()     {}
func (RenewVIPs) action()      {}
func (SendAdvert) action()     {}
func (Announce) action()       {}
func (Transition) action()     {}
func (Released) action()       {}
func (HandoverResult) action() {}
