// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"vipd/loader/attach"
	"vipd/loader/tables"
)

// Names of packages attach and tables that the agent uses.

// Types of package attach.
//
//nolint:revive // they have their comments there
type (
	Mode       = attach.Mode
	Attachment = attach.Attachment
	Repaired   = attach.Repaired
)

// ModeNative is attach.ModeNative.
const ModeNative = attach.ModeNative

// Hooks that a program may be missing from.
const (
	HookXDP    = attach.HookXDP
	HookEgress = attach.HookEgress
)

// ErrNativeOnly is attach.ErrNativeOnly.
var ErrNativeOnly = attach.ErrNativeOnly

// FallbackReasons lists the possible values of [Attachment].FellBack.
func FallbackReasons() []string { return attach.FallbackReasons() }

// Hooks lists the possible elements of [Repaired].Lost.
func Hooks() []string { return attach.HookNames() }

// ErrNoRoom is tables.ErrNoRoom.
var ErrNoRoom = tables.ErrNoRoom

// Types of package tables.
//
//nolint:revive // they have their comments there
type (
	Addresses   = tables.Addresses
	AuthContext = tables.AuthContext
	Claim       = tables.Claim
	Event       = tables.Event
	Group       = tables.Group
	GroupSpec   = tables.GroupSpec
	GroupStats  = tables.GroupStats
	Heard       = tables.Heard
	LeftVIP     = tables.LeftVIP
	PinnedGroup = tables.PinnedGroup
	Priority    = tables.Priority
	Reading     = tables.Reading
	Role        = tables.Role
	Sample      = tables.Sample
	SampleKind  = tables.SampleKind
	HelloEvent  = tables.HelloEvent
	Peer        = tables.Peer
	Seen        = tables.Seen
	TapStats    = tables.TapStats
	VIPStats    = tables.VIPStats
)

// States of a [Role].
const (
	RoleInit   = tables.RoleInit
	RoleBackup = tables.RoleBackup
	RoleMaster = tables.RoleMaster
)

// Rules for the TTL.
const (
	TTLStrict = tables.TTLStrict
	TTLAny    = tables.TTLAny
)

// Kinds of a [Sample].
const (
	SampleAuthentic       = tables.SampleAuthentic
	SampleRejected        = tables.SampleRejected
	SampleDropped         = tables.SampleDropped
	SampleForeignVRRP     = tables.SampleForeignVRRP
	SampleAdvertSent      = tables.SampleAdvertSent
	SampleARPRequest      = tables.SampleARPRequest
	SampleARPReply        = tables.SampleARPReply
	SampleARPGratuitous   = tables.SampleARPGratuitous
	SampleARPSent         = tables.SampleARPSent
	SampleNDSolicitation  = tables.SampleNDSolicitation
	SampleNDAdvertisement = tables.SampleNDAdvertisement
	SampleNDSent          = tables.SampleNDSent
	SampleClaim           = tables.SampleClaim
)

// TagsLost is the only reason in InterfaceStats for which frames are dropped.
const TagsLost = tables.TagsLost

// SampleKinds lists what [SampleKind.String] gives, by kind.
func SampleKinds() []string { return tables.SampleKinds() }

// RejectReasons names the elements of [GroupStats].Rejected.
func RejectReasons() []string { return tables.RejectReasons() }

// DropReasons names the elements of [GroupStats].Dropped.
func DropReasons() []string { return tables.DropReasons() }

// Errors that the agent tells apart.
var (
	ErrSlotTaken = attach.ErrSlotTaken
	ErrExists    = tables.ErrExists
)
