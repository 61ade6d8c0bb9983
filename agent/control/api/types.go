// SPDX-License-Identifier: Apache-2.0

// Package api holds the types and the client of vipd's control API: HTTP/1.1 and
// JSON over a unix socket. It is all that vipctl imports of the agent.
package api

import "time"

// DefaultSocket is where vipd listens unless the config says otherwise.
const DefaultSocket = "/run/vipd/vipd.sock"

// States of a group as they appear in [Group.State].
const (
	StateMaster = "MASTER"
	StateBackup = "BACKUP"
	StateInit   = "INIT"
)

// ReasonDisabled is the reason of a group in INIT because the operator switched
// the node off; people are shown DISABLED for it.
const ReasonDisabled = "disabled"

// Status is the answer to GET /v1/status. Field names are a contract; fields are
// only ever added.
type Status struct {
	Version     string `json:"version"`
	Node        string `json:"node"`
	Enabled     bool   `json:"enabled"`
	Maintenance bool   `json:"maintenance"`
	Preempt     bool   `json:"preempt"`
	// Demotion is the sum of Demotions, in units of advskew (1/256 s).
	Demotion  int        `json:"demotion"`
	Demotions []Demotion `json:"demotions"`
	Groups    []Group    `json:"groups"`
	// Warnings are sentences about the running config or the host, such as a
	// control group that does not exist. Empty when all is well.
	Warnings []string `json:"warnings,omitempty"`
}

// Group is one redundancy group (one VHID on one interface), the answer to
// GET /v1/groups/{name} and an element of [Status.Groups].
type Group struct {
	// Name is written interface@vhid, for example eth0@1.
	Name      string `json:"group"`
	Interface string `json:"interface"`
	VHID      int    `json:"vhid"`
	// State is MASTER, BACKUP or INIT.
	State string `json:"state"`
	// Reason is the transition reason that led into State.
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	// Detail is one sentence for people: why INIT, and what to do about it.
	Detail      string `json:"detail,omitempty"`
	Description string `json:"description,omitempty"`
	// Addresses are prefixes in the order of the config.
	Addresses  []string `json:"addresses"`
	VirtualMAC string   `json:"virtual_mac"`
	// AdvBase is in seconds, AdvSkew in 1/256 s.
	AdvBase          int `json:"advbase"`
	AdvSkew          int `json:"advskew"`
	EffectiveAdvSkew int `json:"effective_advskew"`
	// Master is the last foreign speaker, also while this node is MASTER; null
	// when none was heard.
	Master     *Master   `json:"master"`
	Dataplane  Dataplane `json:"dataplane"`
	Generation uint64    `json:"generation"`
	// LeaseRemainingSeconds is how long this node may go on answering without
	// another successful advertisement; 0 when it may not.
	LeaseRemainingSeconds float64  `json:"lease_remaining_seconds"`
	Counters              Counters `json:"counters"`
	// VIPs are the counters of each address.
	VIPs []VIP `json:"vips,omitempty"`
	// Families are the address families of the group with what was heard in each.
	Families []Family `json:"families,omitempty"`
	// SilentFamily is the family in which the master is not heard while it is in the
	// other: ipv4 or ipv6, and absent when there is none. The group stays as it is.
	SilentFamily string `json:"silent_family,omitempty"`
	// Contexts are the passwords and address lists that adverts are accepted with.
	Contexts []Context `json:"contexts,omitempty"`
	// Faults are codes of what is wrong with the group as far as its counters tell, see
	// [Finding.Code]; GET /v1/doctor looks closer.
	Faults []string `json:"faults,omitempty"`
	// Sends is how adverts are sent: multicast, unicast (then to Peers) or broadcast.
	Sends string   `json:"sends,omitempty"`
	Peers []string `json:"peers,omitempty"`
}

// Ways of sending as in [Group.Sends].
const (
	SendsMulticast = "multicast"
	SendsUnicast   = "unicast"
	SendsBroadcast = "broadcast"
)

// Families as in [Family.Family] and [Group.SilentFamily].
const (
	FamilyIPv4 = "ipv4"
	FamilyIPv6 = "ipv6"
)

// Family is one address family of a group.
type Family struct {
	// Family is ipv4 or ipv6.
	Family string `json:"family"`
	// LastSeen is when an authentic foreign advert came last; absent if none did.
	LastSeen time.Time `json:"last_seen,omitzero"`
	// Silent is true while the master is heard in the other family alone.
	Silent bool `json:"silent"`
}

// Context counts what came with one password and address list.
type Context struct {
	// Name is own, or accept N for the Nth [[vip.accept]] of the group.
	Name string `json:"name"`
	// Received counts authentic adverts of other nodes.
	Received uint64 `json:"received"`
}

// Master is the last foreign speaker of a group.
type Master struct {
	Address  string    `json:"address"`
	AdvBase  int       `json:"advbase"`
	AdvSkew  int       `json:"advskew"`
	Demote   int       `json:"demote"`
	LastSeen time.Time `json:"last_seen"`
}

// Dataplane says how the interface is attached and whether the kernel speaks for
// the group now.
type Dataplane struct {
	// Mode is native or generic; tcx or clsact on tc ingress, where another program has
	// the XDP slot; empty while not attached.
	Mode string `json:"mode"`
	// Egress is tcx or clsact, and empty while not attached.
	Egress string `json:"egress,omitempty"`
	// Parent is the interface whose program serves this VLAN device by its tags; empty
	// if the program sits on the group's own interface.
	Parent string `json:"parent,omitempty"`
	// Note says why no better mode was to be had.
	Note string `json:"note,omitempty"`
	// Answering is the kernel's own verdict: MASTER, lease fresh, not yielded.
	Answering bool `json:"answering"`
	// AnswersUnseen says that within the last minute a client went on asking for one of
	// the addresses as if it saw none of our answers.
	AnswersUnseen bool `json:"answers_unseen"`
	// ProgramsLost counts how often a program of vipd's was found gone from the interface
	// since vipd started, and was put back; absent at 0.
	ProgramsLost uint64 `json:"programs_lost,omitempty"`
	// TagsLost counts frames of the VLAN device that were dropped, since their tags could
	// not be put back; absent at 0.
	TagsLost uint64 `json:"tags_lost,omitempty"`
}

// Counters of a group. They start at 0 with the group.
type Counters struct {
	AdvertisementsSent     uint64 `json:"advertisements_sent"`
	AdvertisementsReceived uint64 `json:"advertisements_received"`
	// AdvertisementsRejected has every reject reason, also those at 0.
	AdvertisementsRejected map[string]uint64 `json:"advertisements_rejected"`
	// FramesDropped has the frames for the group that the kernel dropped, by reason.
	FramesDropped map[string]uint64 `json:"frames_dropped,omitempty"`
	ARPRequests   uint64            `json:"arp_requests"`
	ARPReplies    uint64            `json:"arp_replies"`
	Packets       uint64            `json:"packets"`
	Bytes         uint64            `json:"bytes"`
	EventsLost    uint64            `json:"events_lost"`
	// LoopsSuspected counts our own counters heard from another source. FreeBSD,
	// NetBSD and ucarp continue a peer's counter, so this alone is no fault.
	LoopsSuspected uint64 `json:"loops_suspected"`
}

// VIP has the counters of one address.
type VIP struct {
	Address          string `json:"address"`
	ARPRequests      uint64 `json:"arp_requests"`
	ARPReplies       uint64 `json:"arp_replies"`
	NDSolicitations  uint64 `json:"nd_solicitations"`
	NDAdvertisements uint64 `json:"nd_advertisements"`
	// AnswersUnseen is the same as of the group's data plane, for this address.
	AnswersUnseen bool `json:"answers_unseen"`
}

// Change is the answer to the verbs disable, enable and maintenance enter/leave,
// and to GET /v1/maintenance: the node's switches after the request.
type Change struct {
	// Changed is false when the node was in the wanted state already.
	Changed     bool `json:"changed"`
	Enabled     bool `json:"enabled"`
	Maintenance bool `json:"maintenance"`
	// Message is a sentence worth telling the operator, such as that nobody was
	// heard who could take over. May be empty.
	Message string `json:"message,omitempty"`
	// Handovers are those of the groups that were MASTER, when it was asked to wait
	// for them.
	Handovers []Handover `json:"handovers,omitempty"`
}

// Reload is the answer to POST /v1/reload: what the new config changed, by group
// name. All lists are empty when nothing did.
type Reload struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	Changed []string `json:"changed"`
	// Global lists changed keys outside the groups that are in force now.
	Global []string `json:"global"`
	// NeedRestart lists changed keys that only a restart puts in force.
	NeedRestart []string `json:"need_restart"`
	Warnings    []string `json:"warnings"`
}
