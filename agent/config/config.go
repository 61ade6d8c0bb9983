// SPDX-License-Identifier: Apache-2.0

// Package config turns vipd's TOML file, or the flags of its one-address form, into
// a checked [Config]. All problems are found at once, each with file, line and key.
package config

import (
	"net/netip"
	"strconv"
)

// Config is everything vipd was told. It is never changed after it was made: a
// reload makes another and compares with [Diff].
type Config struct {
	// Source is the path of the file, or "command line".
	Source  string
	Node    Node
	Control Control
	HTTP    HTTP
	Carp    Carp
	XDP     XDP
	// Groups are in the order of the file.
	Groups []Group
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

// HTTP is the table [http].
type HTTP struct {
	// Listen is host:port; empty means off.
	Listen string
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
}

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
	// Password is 0..19 bytes, from the file if there is one.
	Password     Secret
	PasswordFile string
	// Peers are unicast peers instead of multicast.
	Peers []netip.Addr
	// Hook is an executable run on transitions; empty means none.
	Hook string
}

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
