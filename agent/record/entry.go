// SPDX-License-Identifier: Apache-2.0

package record

import (
	"vipd/agent/control/api"
	"vipd/loader"
)

const (
	loaderAuthentic = loader.SampleAuthentic
	// noLag is the lag of what the agent did not wait for.
	noLag = -1
	// entryCost is what one entry costs in memory, with a whole sample.
	entryCost = 288
)

// entry is one frame, or one transition. Its JSON is that of the files.
type entry struct {
	// At is CLOCK_BOOTTIME ns.
	At int64 `json:"at"`
	// Lag is ns until the agent had it, noLag if it does not concern the agent.
	Lag    int64             `json:"lag"`
	Kind   loader.SampleKind `json:"kind"`
	Reason string            `json:"reason,omitempty"`
	Out    bool              `json:"out,omitempty"`

	Yielded    bool `json:"yielded,omitempty"`
	Sealed     bool `json:"sealed,omitempty"`
	OwnCounter bool `json:"own_counter,omitempty"`

	VLAN   uint16 `json:"vlan,omitempty"`
	Length int    `json:"length,omitempty"`
	Data   []byte `json:"data,omitempty"`

	// Transition is set for that, and then all but At is empty.
	Transition *api.Transition `json:"transition,omitempty"`
	// CauseAt is when the advert that caused it was received, 0 if none did.
	CauseAt int64 `json:"cause_at,omitempty"`
}

func entryOf(s loader.Sample) entry {
	return entry{
		At: s.At, Lag: noLag, Kind: s.Kind, Reason: s.Reason, Out: s.Out,
		Yielded: s.Yielded, Sealed: s.Sealed, OwnCounter: s.OwnCounter,
		VLAN: s.VLAN, Length: s.Length, Data: s.Data,
	}
}

// shelf is the ring that an entry belongs to.
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
		loader.SampleNDSolicitation, loader.SampleNDAdvertisement, loader.SampleNDSent:
	}
	return shelfNeighbours
}
