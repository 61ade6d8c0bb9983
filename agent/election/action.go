// SPDX-License-Identifier: Apache-2.0

package election

import "time"

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
	SendUntil  Instant // may advertise until then without a lease
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

func (SetPriority) action() {}
func (SetRole) action()     {}
func (AddVIPs) action()     {}
func (RemoveVIPs) action()  {}
func (RenewVIPs) action()   {}
func (SendAdvert) action()  {}
func (Announce) action()    {}
func (Transition) action()  {}
func (Released) action()    {}
