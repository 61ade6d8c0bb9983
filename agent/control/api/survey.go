// SPDX-License-Identifier: Apache-2.0

package api

// Survey is what `vipd --survey INTERFACE` prints: what a new group on the interface would meet. It is not part of the
// control API: no vipd needs to run.
type Survey struct {
	Interface string `json:"interface"`
	// Addresses are those of the interface, with the length of their networks.
	Addresses []string `json:"addresses"`
	// Unfit is why no group can run on the interface, and what to do; empty if one can.
	Unfit   string  `json:"unfit,omitempty"`
	Seconds float64 `json:"seconds"`
	// Speakers are who was heard on IP protocol 112, each once.
	Speakers []SurveySpeaker `json:"speakers"`
	// Answers are who answered for the addresses that were asked for, or claimed them.
	Answers []SurveyAnswer `json:"answers"`
}

// Protocols of [SurveySpeaker.Protocol].
const (
	ProtocolCARP = "CARP"
	ProtocolVRRP = "VRRP"
)

// SurveySpeaker is a host that advertises a VHID or VRID.
type SurveySpeaker struct {
	Protocol string `json:"protocol"`
	// ID is the VHID or VRID. The two are one number space: they have the same virtual MAC.
	ID      int    `json:"id"`
	Address string `json:"address"`
}

// SurveyAnswer is an answer for an address.
type SurveyAnswer struct {
	Address string `json:"address"`
	MAC     string `json:"mac"`
	// Proxy is true if a router with proxy ARP seems to answer for another host.
	Proxy bool `json:"proxy,omitempty"`
}
