// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"strings"
	"time"
)

// The states of a group as the contract writes them.
const (
	Init   = "INIT"
	Backup = "BACKUP"
	Master = "MASTER"
)

// Status is the contract's JSON, written down here a second time on purpose: a renamed field must fail a test.
type Status struct {
	Version     string        `json:"version"`
	Node        string        `json:"node"`
	Enabled     bool          `json:"enabled"`
	Maintenance bool          `json:"maintenance"`
	Preempt     bool          `json:"preempt"`
	Demotion    int           `json:"demotion"`
	Demotions   []Demotion    `json:"demotions"`
	Groups      []GroupStatus `json:"groups"`
}

// Demotion is one entry of the ledger.
type Demotion struct {
	Name    string    `json:"name"`
	Value   int       `json:"value"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"`
}

// GroupStatus is one group.
type GroupStatus struct {
	Group            string    `json:"group"`
	Interface        string    `json:"interface"`
	VHID             int       `json:"vhid"`
	State            string    `json:"state"`
	Reason           string    `json:"reason"`
	Detail           string    `json:"detail"`
	Since            time.Time `json:"since"`
	Addresses        []string  `json:"addresses"`
	VirtualMAC       string    `json:"virtual_mac"`
	AdvBase          int       `json:"advbase"`
	AdvSkew          int       `json:"advskew"`
	EffectiveAdvSkew int       `json:"effective_advskew"`
	BeatSeconds      float64   `json:"beat_seconds"`
	BeatDistrust     *struct {
		Address     string    `json:"address"`
		WaitSeconds float64   `json:"wait_seconds"`
		Until       time.Time `json:"until"`
		Times       int       `json:"times"`
	} `json:"beat_distrust"`
	Master *struct {
		Address     string    `json:"address"`
		AdvBase     int       `json:"advbase"`
		AdvSkew     int       `json:"advskew"`
		LastSeen    time.Time `json:"last_seen"`
		BeatSeconds float64   `json:"beat_seconds"`
	} `json:"master"`
	Standbys  []Standby `json:"standbys"`
	Dataplane struct {
		Mode          string `json:"mode"`
		Egress        string `json:"egress"`
		ProgramsLost  uint64 `json:"programs_lost"`
		AnswersUnseen bool   `json:"answers_unseen"`
		Parent        string `json:"parent"`
		Note          string `json:"note"`
		Answering     bool   `json:"answering"`
	} `json:"dataplane"`
	Counters     Counters `json:"counters"`
	SilentFamily string   `json:"silent_family"`
	Generation   uint64   `json:"generation"`
	Contexts     []struct {
		Name     string `json:"name"`
		Received uint64 `json:"received"`
	} `json:"contexts"`
	VIPs []struct {
		Address          string `json:"address"`
		ARPReplies       uint64 `json:"arp_replies"`
		NDSolicitations  uint64 `json:"nd_solicitations"`
		NDAdvertisements uint64 `json:"nd_advertisements"`
	} `json:"vips"`
}

// Standby is a node that would take a group over, as the MASTER knows it.
type Standby struct {
	Node             string    `json:"node"`
	Address          string    `json:"address"`
	State            string    `json:"state"`
	AdvBase          int       `json:"advbase"`
	AdvSkew          int       `json:"advskew"`
	EffectiveAdvSkew int       `json:"effective_advskew"`
	Demotion         int       `json:"demotion"`
	Maintenance      bool      `json:"maintenance"`
	Version          string    `json:"version"`
	LastSeen         time.Time `json:"last_seen"`
	TakesOverIn      float64   `json:"takes_over_in"` // seconds
}

// Counters of one group.
type Counters struct {
	Sent        uint64            `json:"advertisements_sent"`
	Received    uint64            `json:"advertisements_received"`
	Rejected    map[string]uint64 `json:"advertisements_rejected"`
	ARPRequests uint64            `json:"arp_requests"`
	ARPReplies  uint64            `json:"arp_replies"`
	Packets     uint64            `json:"packets"`
	Bytes       uint64            `json:"bytes"`
}

// Group finds a group by its name.
func (s Status) Group(name string) (GroupStatus, error) {
	var names []string
	for _, g := range s.Groups {
		if g.Group == name {
			return g, nil
		}
		names = append(names, g.Group)
	}
	return GroupStatus{}, fmt.Errorf("no group %s, there are: %s", name, strings.Join(names, " "))
}
