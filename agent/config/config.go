// SPDX-License-Identifier: Apache-2.0

// Package config reads vipd's TOML file, or the flags for one group, into a checked [Config]. It
// reports all problems at once, each with file, line and key.
package config

import (
	"net/netip"
	"strconv"
	"time"
)

// Config is the whole configuration. It never changes: a reload makes another one and compares
// them with [Diff].
type Config struct {
	// Source is the path of the file, or "command line".
	Source  string
	Node    Node
	Control Control
	HTTP    HTTP
	Web     Web
	Carp    Carp
	XDP     XDP
	Record  Record
	// Groups are in the order of the file.
	Groups []Group
	// Checks are in the order of the file; their names are unique.
	Checks []Check
}

// Node is the table [node].
type Node struct {
	// Name is this node's name in status and logs.
	Name string
	// StateDir survives a reboot: maintenance mode.
	StateDir string
	// RuntimeDir is lost at a reboot: the disable switch.
	RuntimeDir string
	// BPFDir holds the pinned maps and links.
	BPFDir string
}

// Control is the table [control].
type Control struct {
	Socket string
	// Group has read access; empty means root only.
	Group string
}

// Carp is the table [carp].
type Carp struct {
	Preempt bool
	// DeadRatio times advbase is the time that peers wait, 1..3.
	DeadRatio float64
	// SendDemote fills OpenBSD's demote byte.
	SendDemote bool
	// IfdownDemotion and SenderrDemotion are in units of advskew, 0..255.
	IfdownDemotion  int
	SenderrDemotion int
	// DSCP of advertisements, 0..63.
	DSCP uint8
	// MasterDown is freebsd or openbsd: the rule for the master-down interval.
	MasterDown string
	// PreemptDelay is the time after start without preemption, 0..1 h.
	PreemptDelay time.Duration
	// ClaimDelay is the time after start or link up without claims, 0..1 h.
	ClaimDelay time.Duration
	// PeerMemory is for how long a vipd node that went silent is not believed without a trailer, 1 min to 1 year;
	// 0: for ever.
	PeerMemory time.Duration
}

// Rules of [Carp.MasterDown], with b for advbase and s for advskew of the master.
const (
	// MasterDownFreeBSD is 3b + s/256 seconds, as FreeBSD, NetBSD and ucarp wait.
	MasterDownFreeBSD = "freebsd"
	// MasterDownOpenBSD is 3(b + s/256) seconds, as OpenBSD waits since 2015
	// (ip_carp.c, carp_setrun).
	MasterDownOpenBSD = "openbsd"
)

// Modes of [XDP.Mode].
const (
	ModeAuto    = "auto"
	ModeNative  = "native"
	ModeTC      = "tc"
	ModeGeneric = "generic"
)

// XDP is the table [xdp].
type XDP struct {
	// Mode is auto, native, tc or generic.
	Mode string
}

// Record is the table [record].
type Record struct {
	// Memory limits the flight recorder, in MiB, 1..1024.
	Memory int
	// Incidents is the maximum number kept, 1..1000.
	Incidents int
	// Save keeps incidents in state_dir across restarts.
	Save bool
}

// Group is one [[vip]]: one VHID on one interface with all its addresses.
type Group struct {
	// Line is the line of its [[vip]] in the file; 0 for flags.
	Line      int
	Interface string
	// VHID is 1..255.
	VHID uint8
	// Addresses are in the order of the config, at least one, with host bits kept.
	Addresses []netip.Prefix
	// AdvBase is in seconds, 0..254; AdvSkew in 1/256 s, 0..254.
	AdvBase, AdvSkew uint8
	// Beat is how often a MASTER advertises, and its vipd peers count on it: MinBeat..MaxBeat, less than the interval;
	// 0: as often as AdvBase and AdvSkew state.
	Beat        time.Duration
	Description string
	// Password is 0..19 bytes, from PasswordFile if that is set. A PasswordFile of
	// credential:NAME is in systemd's directory of credentials.
	Password     Secret
	PasswordFile string
	// Peers get unicast instead of multicast.
	Peers []netip.Addr
	// Hook is an executable run on transitions; empty means none.
	Hook string
	// HookTimeout limits a run of the hook, 100 ms to 1 h.
	HookTimeout time.Duration
	// Digest is all or no-link-local: which addresses the group signs.
	Digest string
	// LLAddr is the lladdr set by hand on OpenBSD's carp interfaces, which their digest
	// includes; nil if none.
	LLAddr *[6]byte
	// PeerTTL is any or strict: whether adverts of unicast peers may be routed.
	PeerTTL string
	// Broadcast sends to the Ethernet broadcast address, as ucarp --nomcast does.
	Broadcast bool
	// RequireTrailer refuses adverts without the trailer of a vipd node.
	RequireTrailer bool
	// Replay is off or strict: whether counters of BSD peers must rise.
	Replay string
	// Accept has at most 7 further contexts for received adverts. They are never used to sign.
	Accept []Accept
}

// Limits of [Group.Beat]. A trailer states 32,767 us at most (wire.MaxBeat).
const (
	MinBeat = time.Millisecond
	MaxBeat = 30 * time.Millisecond
)

// Digests of [Group.Digest]. Both are accepted, whichever is sent.
const (
	// DigestAll signs all addresses, as FreeBSD does.
	DigestAll = "all"
	// DigestNoLinkLocal omits IPv6 link-local addresses, as OpenBSD does
	// (ip_carp.c, HMAC_NOV6LL).
	DigestNoLinkLocal = "no-link-local"
)

// Rules of [Group.PeerTTL].
const (
	// PeerTTLAny allows any TTL for adverts of unicast peers, as FreeBSD does.
	PeerTTLAny = "any"
	// PeerTTLStrict requires 255, which a router decrements, as OpenBSD does.
	PeerTTLStrict = "strict"
)

// Rules of [Group.Replay].
const (
	ReplayOff    = "off"
	ReplayStrict = "strict"
)

// Name is interface@vhid, for example eth0@1.
func (g Group) Name() string { return GroupName(g.Interface, g.VHID) }

// Addrs returns the addresses without their prefix lengths, in a list of its own.
func (g Group) Addrs() []netip.Addr { return addrs(g.Addresses) }

func addrs(set []netip.Prefix) []netip.Addr {
	out := make([]netip.Addr, 0, len(set))
	for _, p := range set {
		out = append(out, p.Addr())
	}
	return out
}

// mostAddresses is how many VIPs of a group are addresses of the host. Each of them costs the kernel a renewal, an
// event and a place in lists that it searches: 10,000 IPv6 addresses took it 25 s of CPU time, local routes to them
// half a second.
const mostAddresses = 256

// ByRoutes reports whether the host delivers to the group's VIPs by local routes, and does not have them as addresses.
func (g Group) ByRoutes() bool { return len(g.Addresses) > mostAddresses }

// GroupName is interface@vhid.
func GroupName(ifname string, vhid uint8) string {
	return ifname + "@" + strconv.Itoa(int(vhid))
}

// Group returns the group of that name.
func (c *Config) Group(name string) (Group, bool) {
	for _, g := range c.Groups {
		if g.Name() == name {
			return g, true
		}
	}
	return Group{}, false
}
