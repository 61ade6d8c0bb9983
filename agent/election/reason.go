// SPDX-License-Identifier: Apache-2.0

package election

// Reason says why a group is in its state. The zero value is invalid.
type Reason uint8

// The reasons of a transition. Their names are API: metrics, JSON and hooks carry them.
const (
	ReasonStartup           Reason = iota + 1 // the machine is new
	ReasonMasterTimeout                       // no advert within the master-down time, or the master's interval is longer than that
	ReasonPreempt                             // a worse master was heard and preemption is on
	ReasonGoodbye                             // the master said 255/255
	ReasonBetterAdvert                        // a better node advertises
	ReasonEqualAdvert                         // an equal node advertises; a MASTER always yields
	ReasonDemoted                             // the demoted side gave way, here or there
	ReasonLeaseExpired                        // our own silence lasted longer than the lease
	ReasonLinkDown                            // the interface has no link
	ReasonLinkUp                              // it has one again
	ReasonInterfaceMissing                    // the interface does not exist
	ReasonInterfaceEnslaved                   // it is a port of a bridge or bond
	ReasonAttachFailed                        // the data plane could not be attached
	ReasonSendFailed                          // no advert could be sent
	ReasonConfigChanged                       // reload
	ReasonDisabled                            // by the operator
	ReasonEnabled                             // by the operator
	ReasonStop                                // the daemon stops
	ReasonYield                               // handed over by the operator
	reasonEnd
)

// Reasons are all valid reasons, so that metrics can exist with 0 from the start.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonEnd-1)
	for r := ReasonStartup; r < reasonEnd; r++ {
		all = append(all, r)
	}
	return all
}

// String is the reason's name in metrics and JSON.
func (r Reason) String() string {
	if r == 0 || r >= reasonEnd {
		return "invalid"
	}
	return [...]string{
		ReasonStartup:           "startup",
		ReasonMasterTimeout:     "master_timeout",
		ReasonPreempt:           "preempt",
		ReasonGoodbye:           "goodbye",
		ReasonBetterAdvert:      "better_advert",
		ReasonEqualAdvert:       "equal_advert",
		ReasonDemoted:           "demoted",
		ReasonLeaseExpired:      "lease_expired",
		ReasonLinkDown:          "link_down",
		ReasonLinkUp:            "link_up",
		ReasonInterfaceMissing:  "interface_missing",
		ReasonInterfaceEnslaved: "interface_enslaved",
		ReasonAttachFailed:      "attach_failed",
		ReasonSendFailed:        "send_failed",
		ReasonConfigChanged:     "config_changed",
		ReasonDisabled:          "disabled",
		ReasonEnabled:           "enabled",
		ReasonStop:              "stop",
		ReasonYield:             "yield",
	}[r]
}
