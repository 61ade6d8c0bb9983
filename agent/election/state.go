// SPDX-License-Identifier: Apache-2.0

package election

// State of a group on this node. The zero value is invalid.
type State uint8

// The states of CARP.
const (
	Init   State = iota + 1 // takes no part
	Backup                  // listens
	Master                  // speaks, while its lease is fresh
)

// String is the word of the status table: INIT, BACKUP or MASTER.
func (s State) String() string {
	switch s {
	case Init:
		return "INIT"
	case Backup:
		return "BACKUP"
	case Master:
		return "MASTER"
	default:
		return "INVALID"
	}
}

// phase is what a MASTER is about. Every other state is in phaseNone.
type phase uint8

const (
	phaseNone     phase = iota
	phaseClaiming       // one advert is out and decides; a failure is the end
	phaseOwning         // the lease is fresh, or was when we last looked
	phaseExpired        // the lease ended unrenewed: silent, until it is safe to claim again
	phaseBowed          // said goodbye for a Yield; speaks again if nobody takes over
	phaseLeaving        // said goodbye, speaks on until a successor does
)
