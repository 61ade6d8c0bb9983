// SPDX-License-Identifier: Apache-2.0

// Package api holds the types and the client of vipd's control API: HTTP/1.1 and JSON over a unix socket. vipctl
// imports nothing else of the agent.
package api

import "time"

// DefaultSocket is where vipd listens unless the config names another path.
const DefaultSocket = "/run/vipd/vipd.sock"

// States of a group as they appear in [Group.State].
const (
	StateMaster = "MASTER"
	StateBackup = "BACKUP"
	StateInit   = "INIT"
)

// ReasonDisabled is the reason of a group in INIT because the operator switched the node off; people see DISABLED
// instead.
const ReasonDisabled = "disabled"

// Status is the answer to GET /v1/status. Field names are a contract; fields are
// only ever added.
type Status struct {
	Version string `json:"version"`
	// Build is absent from a vipd before 0.2.0.
	Build       Build  `json:"build,omitzero"`
	Node        string `json:"node"`
	Enabled     bool   `json:"enabled"`
	Maintenance bool   `json:"maintenance"`
	Preempt     bool   `json:"preempt"`
	// Demotion is the sum of Demotions, in units of advskew (1/256 s).
	Demotion  int        `json:"demotion"`
	Demotions []Demotion `json:"demotions"`
	Groups    []Group    `json:"groups"`
	// Warnings are sentences about the running config or the host, such as a control group that does not exist. Empty if
	// there are none.
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
	// Reason is the reason of the transition into State.
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	// Detail is one sentence: why the group is INIT, and what to do about it.
	Detail      string `json:"detail,omitempty"`
	Description string `json:"description,omitempty"`
	// Addresses are prefixes in the order of the config.
	Addresses  []string `json:"addresses"`
	VirtualMAC string   `json:"virtual_mac"`
	// AdvBase is in seconds, AdvSkew in 1/256 s.
	AdvBase          int `json:"advbase"`
	AdvSkew          int `json:"advskew"`
	EffectiveAdvSkew int `json:"effective_advskew"`
	// BeatSeconds is how often this node advertises as MASTER according to its config; 0: once per interval.
	BeatSeconds float64 `json:"beat_seconds"`
	// BeatDistrust is why this node waits longer for beats than they state; absent if it does not.
	BeatDistrust *BeatDistrust `json:"beat_distrust,omitempty"`
	// Master is the last other node that advertised, also while this node is MASTER; null if none was heard.
	Master *Master `json:"master"`
	// Standbys lists the nodes that would take the group over, the best first. They report to the MASTER alone, so the
	// list is empty on any other node.
	Standbys []Standby `json:"standbys"`
	// StandbysUnknown is why no standby can be known, in a few words: for example, the last other node that advertised is
	// not vipd. Absent otherwise.
	StandbysUnknown string `json:"standbys_unknown,omitempty"`
	// Differences lists in what the nodes that sent hellos are configured unlike this one, and only what is worth a
	// warning; empty if there is nothing.
	Differences []Difference `json:"differences,omitempty"`
	Dataplane   Dataplane    `json:"dataplane"`
	Generation  uint64       `json:"generation"`
	// LeaseRemainingSeconds is how long this node may answer without another successful advertisement; 0 if it may not
	// answer.
	LeaseRemainingSeconds float64  `json:"lease_remaining_seconds"`
	Counters              Counters `json:"counters"`
	// VIPs has the counters of each address.
	VIPs []VIP `json:"vips,omitempty"`
	// Families lists the address families of the group with what was heard in each.
	Families []Family `json:"families,omitempty"`
	// SilentFamily is the family in which the master is not heard while it is heard in the other: ipv4 or ipv6; absent if
	// there is none. The group does not change its state.
	SilentFamily string `json:"silent_family,omitempty"`
	// Hold is why a BACKUP does not preempt although it could, as in [Why.Hold], until
	// HoldUntil at the latest. With claim_delay it does not replace a silent master either.
	Hold      string    `json:"hold,omitempty"`
	HoldUntil time.Time `json:"hold_until,omitzero"`
	// TakesOverAt is when a BACKUP that hears no master takes over, unless one is heard until then; absent in any other
	// state, and while Hold is claim_delay.
	TakesOverAt time.Time `json:"takes_over_at,omitzero"`
	// Contexts lists the passwords and address lists with which adverts are accepted.
	Contexts []Context `json:"contexts,omitempty"`
	// Faults lists codes of faults of the group that its counters show, see [Finding.Code]; GET /v1/doctor examines more.
	Faults []string `json:"faults,omitempty"`
	// AddressConflicts lists the latest announcements of the group's addresses by other hosts, newest first, at most 16,
	// since vipd started. The fault address_conflict stays for five minutes after the last of them.
	AddressConflicts []AddressConflict `json:"address_conflicts,omitempty"`
	// AddressesRestoredAt is when Counters.AddressesRestored last rose; absent if it never did.
	AddressesRestoredAt time.Time `json:"addresses_restored_at,omitzero"`
	// LostRoutes lists routes of this host that the kernel removed with the addresses at a handover and that are still
	// missing.
	LostRoutes []string `json:"lost_routes,omitempty"`
	// Sends is how adverts are sent: multicast, unicast (then to Peers) or broadcast.
	Sends string   `json:"sends,omitempty"`
	Peers []string `json:"peers,omitempty"`
	// Unreachable lists what adverts of this node cannot reach, one sentence per cause: an address family, or unicast
	// peers. The node is demoted for it and hands over.
	Unreachable []string `json:"unreachable,omitempty"`
	// SkippedPeers lists peers that get no adverts, with the reason: the peer is this node itself.
	SkippedPeers []string `json:"skipped_peers,omitempty"`
}

// Holds as in [Group.Hold].
const (
	HoldStartup    = "startup"     // preempt_delay
	HoldYield      = "yield"       // the operator handed over
	HoldSendFailed = "send_failed" // the last advert could not be sent
	HoldChecks     = "checks"      // a health check has no verdict yet
	HoldClaimDelay = "claim_delay" // no claim at all
)

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
	// LastSeen is when the last authentic advert of another node arrived; absent if none did.
	LastSeen time.Time `json:"last_seen,omitzero"`
	// Silent is true while the master is heard in the other family only.
	Silent bool `json:"silent"`
}

// Context counts the adverts that were signed with one password and address list.
type Context struct {
	// Name is own, or accept N for the Nth [[vip.accept]] of the group.
	Name string `json:"name"`
	// Received counts authentic adverts of other nodes.
	Received uint64 `json:"received"`
}

// AddressConflict is another host that announces an address of a group.
type AddressConflict struct {
	Address string `json:"address"`
	// MAC is the MAC that it announces for the address; Source is the Ethernet source of the frame, absent if it is the
	// same.
	MAC    string `json:"mac"`
	Source string `json:"source,omitempty"`
	// Count is how often the host announced the address since FirstSeen.
	Count     uint64    `json:"count"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
}

// Master is the last other node that advertised a group.
type Master struct {
	Address  string    `json:"address"`
	AdvBase  int       `json:"advbase"`
	AdvSkew  int       `json:"advskew"`
	Demote   int       `json:"demote"`
	LastSeen time.Time `json:"last_seen"`
	// BeatSeconds is within what time its next advertisement comes according to the last one; 0: within the interval of
	// AdvBase and AdvSkew.
	BeatSeconds float64 `json:"beat_seconds"`
	// BeatsEndedAt is when its advertisements ceased to state a beat; absent if they never did, or do again.
	BeatsEndedAt time.Time `json:"beats_ended_at,omitzero"`
	// Proven is true if the node sends trailers: it is vipd.
	Proven bool `json:"proven"`
}

// BeatDistrust is another node whose beats proved unreliable: this node had claimed since some of them were missing,
// and then heard that the other one was alive. It waits longer for a while: twice the pause, at most its ordinary
// master-down time.
type BeatDistrust struct {
	Address string `json:"address"`
	// WaitSeconds is how long this node waits for an advertisement meanwhile.
	WaitSeconds float64 `json:"wait_seconds"`
	// Until is when the beats count as they are stated again, at the earliest: before, each of them has to arrive for ten
	// seconds.
	Until time.Time `json:"until"`
	// Times is how often that happened in succession; each time doubles how long it lasts.
	Times int `json:"times"`
}

// Dataplane describes how the programs are attached and whether the kernel speaks for the group now.
type Dataplane struct {
	// Mode is native (XDP in the driver), tc (ingress) or generic (XDP in the stack); empty while not attached.
	Mode string `json:"mode"`
	// Egress is tcx or clsact, also for tc ingress; empty while not attached.
	Egress string `json:"egress,omitempty"`
	// Parent is the interface whose program serves this VLAN device by its tags; empty if the
	// program is on the group's own interface.
	Parent string `json:"parent,omitempty"`
	// Note is why no better mode is available.
	Note string `json:"note,omitempty"`
	// Fallback is why native mode was given up for tc ingress: attach_failed or answers_unseen; absent if it was not.
	Fallback string `json:"fallback,omitempty"`
	// Answering is the kernel's decision: MASTER, lease valid, not yielded.
	Answering bool `json:"answering"`
	// AnswersUnseen is true if within the last minute a client kept asking for one of the addresses as if it saw none of
	// our answers.
	AnswersUnseen bool `json:"answers_unseen"`
	// ProgramsLost counts how often a program of vipd was found detached from the interface since vipd started, and was
	// reattached; absent at 0.
	ProgramsLost uint64 `json:"programs_lost,omitempty"`
	// TagsLost counts frames of the VLAN device that were dropped because their tags could not be restored; absent at 0.
	TagsLost uint64 `json:"tags_lost,omitempty"`
}

// Counters are the counters of a group. They start at 0 with the group.
type Counters struct {
	AdvertisementsSent     uint64 `json:"advertisements_sent"`
	AdvertisementsReceived uint64 `json:"advertisements_received"`
	// AdvertisementsRejected has every reject reason, also those at 0.
	AdvertisementsRejected map[string]uint64 `json:"advertisements_rejected"`
	// FramesDropped counts the frames for the group that the kernel dropped, by reason.
	FramesDropped map[string]uint64 `json:"frames_dropped,omitempty"`
	ARPRequests   uint64            `json:"arp_requests"`
	ARPReplies    uint64            `json:"arp_replies"`
	Packets       uint64            `json:"packets"`
	Bytes         uint64            `json:"bytes"`
	EventsLost    uint64            `json:"events_lost"`
	// LoopsSuspected counts our own counters heard from another source. FreeBSD, NetBSD and ucarp continue a peer's
	// counter, so this alone is not a fault.
	LoopsSuspected uint64 `json:"loops_suspected"`
	// AddressesRestored counts addresses that another process removed from this host while it was MASTER, and that vipd
	// restored; absent at 0.
	AddressesRestored uint64 `json:"addresses_restored,omitempty"`
}

// VIP has the counters of one address.
type VIP struct {
	Address          string `json:"address"`
	ARPRequests      uint64 `json:"arp_requests"`
	ARPReplies       uint64 `json:"arp_replies"`
	NDSolicitations  uint64 `json:"nd_solicitations"`
	NDAdvertisements uint64 `json:"nd_advertisements"`
	// AnswersUnseen is as in Dataplane, for this address.
	AnswersUnseen bool `json:"answers_unseen"`
}

// Change is the answer to disable, enable and maintenance enter/leave, and to
// GET /v1/maintenance: the node's switches after the request.
type Change struct {
	// Changed is false if the node was in the requested state already.
	Changed     bool `json:"changed"`
	Enabled     bool `json:"enabled"`
	Maintenance bool `json:"maintenance"`
	// Message is a sentence for the operator, such as that no node was heard that could take over. May be empty.
	Message string `json:"message,omitempty"`
	// Handovers are the results for the groups that were MASTER, if the request had wait.
	Handovers []Handover `json:"handovers,omitempty"`
}

// Reload is the answer to POST /v1/reload: what the new config changed, by group name. All lists are empty if nothing
// changed.
type Reload struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
	Changed []string `json:"changed"`
	// Global lists changed keys outside the groups that are in force now.
	Global []string `json:"global"`
	// NeedRestart lists changed keys that take effect only with a restart.
	NeedRestart []string `json:"need_restart"`
	Warnings    []string `json:"warnings"`
}
