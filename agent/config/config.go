// SPDX-License-Identifier: Apache-2.0

// Package config turns vipd's TOML file, or the flags of its one-address form, into
// a checked [Config]. All problems are found at once, each with file, line and key.
package config

import (
	"net/netip"
	"strconv"
	"time"
)

// Config is everything vipd was told. It is never changed after it was made: a
// reload makes another and compares with [Diff].
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
	// Name is how this node calls itself in status and logs.
	Name string
	// StateDir survives a reboot: maintenance mode.
	StateDir string
	// RuntimeDir is gone at a reboot: the disable switch.
	RuntimeDir string
	// BPFDir holds the pinned maps and links.
	BPFDir string
}

// Control is the table [control].
type Control struct {
	Socket string
	// Group may read; empty means that only root may.
	Group string
}

// Carp is the table [carp].
type Carp struct {
	Preempt bool
	// DeadRatio times advbase is how long peers wait, 1..3.
	DeadRatio float64
	// SendDemote fills OpenBSD's demote byte.
	SendDemote bool
	// IfdownDemotion and SenderrDemotion are in units of advskew, 0..255.
	IfdownDemotion  int
	SenderrDemotion int
	// DSCP of advertisements, 0..63.
	DSCP uint8
	// MasterDown is freebsd or openbsd: the rule by which a BACKUP waits.
	MasterDown string
	// PreemptDelay is how long after its start the node does not preempt, 0..1 h.
	PreemptDelay time.Duration
}

// Rules of [Carp.MasterDown], with b for advbase and s for advskew of the master.
const (
	// MasterDownFreeBSD is 3b + s/256 seconds, as FreeBSD, NetBSD and ucarp wait.
	MasterDownFreeBSD = "freebsd"
	// MasterDownOpenBSD is 3(b + s/256) seconds, as OpenBSD waits since 2015
	// (ip_carp.c, carp_setrun).
	MasterDownOpenBSD = "openbsd"
)

// XDP modes as in [XDP.Mode].
const (
	ModeAuto    = "auto"
	ModeNative  = "native"
	ModeGeneric = "generic"
)

// XDP is the table [xdp].
type XDP struct {
	// Mode is auto, native or generic.
	Mode string
}

// Record is the table [record].
type Record struct {
	// Memory bounds the flight recorder, in MiB, 1..1024.
	Memory int
	// Incidents are kept at most, 1..1000.
	Incidents int
	// Save keeps incidents in the state_dir, over a restart.
	Save bool
}

// Group is one [[vip]]: one VHID on one interface with all its addresses.
type Group struct {
	Interface string
	// VHID is 1..255.
	VHID uint8
	// Addresses are in the order of the config, at least one, with host bits kept.
	Addresses []netip.Prefix
	// AdvBase is in seconds, 0..254; AdvSkew in 1/256 s, 0..254.
	AdvBase, AdvSkew uint8
	Description      string
	// Password is 0..19 bytes, from the file if there is one. A PasswordFile of
	// credential:NAME is in systemd's directory of credentials.
	Password     Secret
	PasswordFile string
	// Peers are unicast peers instead of multicast.
	Peers []netip.Addr
	// Hook is an executable run on transitions; empty means none.
	Hook string
	// HookTimeout is how long a run of it may last, 100 ms to 1 h.
	HookTimeout time.Duration
	// Digest is all or no-link-local: which addresses we sign with.
	Digest string
	// LLAddr is the lladdr that was set by hand on OpenBSD's carp interfaces and is
	// in their digest; nil when there is none.
	LLAddr *[6]byte
	// PeerTTL is any or strict: whether adverts of unicast peers may be routed.
	PeerTTL string
	// Broadcast sends to the Ethernet broadcast address, as ucarp --nomcast does.
	Broadcast bool
	// RequireSeal refuses adverts that no vipd has sealed.
	RequireSeal bool
	// Replay is off or strict: whether counters of BSD peers must rise.
	Replay string
	// Accept are at most 7 further contexts that adverts may be signed with. Nothing
	// is ever signed with them.
	Accept []Accept
}

// Digests of [Group.Digest]. Both are accepted whichever is sent.
const (
	// DigestAll signs all addresses, as FreeBSD does.
	DigestAll = "all"
	// DigestNoLinkLocal leaves IPv6 link-local addresses out, as OpenBSD does
	// (ip_carp.c, HMAC_NOV6LL).
	DigestNoLinkLocal = "no-link-local"
)

// Rules of [Group.PeerTTL].
const (
	// PeerTTLAny lets adverts of unicast peers have any TTL, as FreeBSD does.
	PeerTTLAny = "any"
	// PeerTTLStrict wants 255, which no router lets through, as OpenBSD does.
	PeerTTLStrict = "strict"
)

// Rules of [Group.Replay].
const (
	ReplayOff    = "off"
	ReplayStrict = "strict"
)

// Name is interface@vhid, for example eth0@1.
func (g Group) Name() string { return GroupName(g.Interface, g.VHID) }

// GroupName is how a group is written everywhere: interface@vhid.
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
