// SPDX-License-Identifier: Apache-2.0

package election

import (
	"net/netip"
	"time"
)

// Action is something to do: one of the types of this file, in the order returned.
type Action interface{ action() }

// SetPriority says what the data plane compares foreign adverts with. A worse one comes
// before the SendAdvert that states it, a better one after it was sent.
type SetPriority struct{ Priority }

// SetRole is the group's entry in the data plane.
type SetRole struct {
	State      State
	Generation uint64
	Lease      Instant // speaks until then; 0 = no lease
	SendUntil  Instant // may advertise until then without a lease, and answers as soon as it has
}

// AddVIPs puts the addresses on the host. Those that are there already are renewed.
type AddVIPs struct{}

// RemoveVIPs takes the addresses off the host.
type RemoveVIPs struct{}

// RenewVIPs prolongs the addresses' lifetime after the lease was renewed.
type RenewVIPs struct{}

// SendAdvert sends one advertisement per family and peer. Its outcome is the next event.
type SendAdvert struct {
	Priority
	Goodbye bool // a bow-out, which passes without a lease
}

// Announce sends gratuitous ARPs and unsolicited NAs for the addresses.
type Announce struct{}

// Transition tells a change of state, after everything that fences it.
type Transition struct {
	From, To State
	Reason   Reason
	At       Instant
	Cause    *Advert       // the advert that caused it; nil if it was none
	Lag      time.Duration // from when it was due, or the advert received, to At
}

// Released ends a Release: the group is in INIT and the addresses are off.
type Released struct{ Reason Reason }

// Handover answers a Yield.
type Handover struct {
	Outcome   Outcome
	Successor netip.Addr    // HandedOver: who; invalid if only the kernel knows
	Goodbye   bool          // the successor took over, or did not, after a 255/255
	Took      time.Duration // since the request
}

// Outcome is how a Yield ended. The zero value is invalid.
type Outcome uint8

// How a Yield can end.
const (
	HandedOver Outcome = iota + 1 // a successor speaks; we spoke until its first advert
	NotTaken                      // nobody took over: still MASTER, soon with the priority of before
	GivenUp                       // nobody took over, and Force was set: BACKUP, nobody speaks
	NotMaster                     // nothing to hand over: not MASTER, or no longer for another reason
	Withdrawn                     // by Stay: still MASTER
)

// String is for people and for the answer to a command.
func (o Outcome) String() string {
	if o < HandedOver || o > Withdrawn {
		return "invalid"
	}
	return [...]string{HandedOver: "handed_over", NotTaken: "not_taken", GivenUp: "given_up", NotMaster: "not_master", Withdrawn: "withdrawn"}[o]
}

func (SetPriority) action() {}
func (SetRole) action()     {}
func (AddVIPs) action()     {}
func (RemoveVIPs) action()  {}
func (RenewVIPs) action()   {}
func (SendAdvert) action()  {}
func (Announce) action()    {}
func (Transition) action()  {}
func (Released) action()    {}
func (Handover) action()    {}
