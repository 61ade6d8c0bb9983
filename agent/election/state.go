// SPDX-License-Identifier: Apache-2.0

package election

// State of a group on this node. The zero value is invalid.
type State uint8

// The states of CARP.
const (
	Init   State = iota + 1 // does not take part
	Backup                  // waits for the master to fail
	Master                  // answers while its lease is valid
)

// String returns INIT, BACKUP or MASTER.
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

// phase is the phase of a MASTER; phaseNone in other states.
type phase uint8

const (
	phaseNone     phase = iota
	phaseClaiming       // the first advert is being sent; a failure ends the claim
	phaseOwning         // the lease was valid at the last step
	phaseExpired        // the lease expired: silent until it is safe to claim again
	phaseGoodbye        // said goodbye for a HandOver; advertises again if no node takes over
	phaseEnding         // leaves; states no beat any more, so that it can answer after its goodbye
	phaseLeaving        // said goodbye for a Release; answers until a successor advertises
)

// Reason is why a group is in its state. The zero value is invalid.
type Reason uint8

// The reasons of a transition. Their names are API: metrics, JSON and hooks carry them.
const (
	ReasonStartup            Reason = iota + 1 // the machine is new
	ReasonMasterTimeout                        // no advert within the master-down time, or a longer interval
	ReasonPreempt                              // a worse master advertises and preemption is on
	ReasonGoodbye                              // the master said 255/255
	ReasonBetterAdvert                         // a better node advertises
	ReasonEqualAdvert                          // an equal node advertises; a MASTER always yields to it
	ReasonDemoted                              // this node or the other gave way because of its demotion
	ReasonLeaseExpired                         // no advert was sent before the lease ended
	ReasonLinkDown                             // the interface has no link
	ReasonLinkUp                               // the interface has a link again
	ReasonInterfaceMissing                     // the interface does not exist
	ReasonInterfaceEnslaved                    // the interface belongs to a bridge or bond
	ReasonAttachFailed                         // the data plane could not be attached
	ReasonSendFailed                           // no advert could be sent
	ReasonConfigChanged                        // reload
	ReasonDisabled                             // by the operator
	ReasonEnabled                              // by the operator
	ReasonStop                                 // the daemon stops
	ReasonYield                                // handed over by the operator
	ReasonOwnAddress                           // the host has a VIP as an ordinary address
	ReasonInterfaceDuplicate                   // same VHID or address under another interface name
	reasonEnd
)

// String returns the name in metrics and JSON.
func (r Reason) String() string {
	if r == 0 || r >= reasonEnd {
		return "invalid"
	}
	return [...]string{
		ReasonStartup:            "startup",
		ReasonMasterTimeout:      "master_timeout",
		ReasonPreempt:            "preempt",
		ReasonGoodbye:            "goodbye",
		ReasonBetterAdvert:       "better_advert",
		ReasonEqualAdvert:        "equal_advert",
		ReasonDemoted:            "demoted",
		ReasonLeaseExpired:       "lease_expired",
		ReasonLinkDown:           "link_down",
		ReasonLinkUp:             "link_up",
		ReasonInterfaceMissing:   "interface_missing",
		ReasonInterfaceEnslaved:  "interface_enslaved",
		ReasonAttachFailed:       "attach_failed",
		ReasonSendFailed:         "send_failed",
		ReasonConfigChanged:      "config_changed",
		ReasonDisabled:           "disabled",
		ReasonEnabled:            "enabled",
		ReasonStop:               "stop",
		ReasonYield:              "yield",
		ReasonOwnAddress:         "own_address",
		ReasonInterfaceDuplicate: "interface_duplicate",
	}[r]
}
