// SPDX-License-Identifier: Apache-2.0

package record

import (
	"slices"

	"vipd/agent/control/api"
	"vipd/loader"
)

const (
	loaderAuthentic = loader.SampleAuthentic
	// noLag is the lag of entries that the agent does not wait for.
	noLag = -1
	// entryCost is the memory in bytes of one entry with a full sample.
	entryCost = 288
)

// entry is one frame or one transition. Its JSON is that of the files.
type entry struct {
	// At is CLOCK_BOOTTIME ns.
	At int64 `json:"at"`
	// Lag is the time in ns until the agent had it, or noLag.
	Lag    int64             `json:"lag"`
	Kind   loader.SampleKind `json:"kind"`
	Reason string            `json:"reason,omitempty"`
	Out    bool              `json:"out,omitempty"`

	Yielded    bool `json:"yielded,omitempty"`
	Proven     bool `json:"proven,omitempty"`
	OwnCounter bool `json:"own_counter,omitempty"`

	VLAN   uint16 `json:"vlan,omitempty"`
	Length int    `json:"length,omitempty"`
	Data   []byte `json:"data,omitempty"`

	// Transition is set for a transition; all other fields except At and CauseAt are empty then.
	Transition *api.Transition `json:"transition,omitempty"`
	// CauseAt is when the advert that caused it was received, 0 if no advert did.
	CauseAt int64 `json:"cause_at,omitempty"`
}

// entryOf returns the entry of a sample, whose Data it shares.
func entryOf(s loader.Sample) entry {
	return entry{
		At: s.At, Lag: noLag, Kind: s.Kind, Reason: s.Reason, Out: s.Out,
		Yielded: s.Yielded, Proven: s.Proven, OwnCounter: s.OwnCounter,
		VLAN: s.VLAN, Length: s.Length, Data: s.Data,
	}
}

// owned returns e with Data of its own.
func (e entry) owned() entry {
	e.Data = slices.Clone(e.Data)
	return e
}

// shelf is the ring of a group that an entry belongs to.
type shelf int

const (
	shelfAdverts shelf = iota
	shelfNeighbours
	shelfRejects
	shelves
)

func (e *entry) shelf() shelf {
	switch e.Kind {
	case loader.SampleAuthentic, loader.SampleAdvertSent:
		return shelfAdverts
	case loader.SampleRejected, loader.SampleForeignVRRP:
		return shelfRejects
	case loader.SampleDropped:
		if e.Reason == "egress_not_answering_advert" {
			return shelfAdverts
		}
	case loader.SampleARPRequest, loader.SampleARPReply, loader.SampleARPGratuitous, loader.SampleARPSent,
		loader.SampleNDSolicitation, loader.SampleNDAdvertisement, loader.SampleNDSent, loader.SampleClaim:
	}
	return shelfNeighbours
}
