// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"time"

	"vipd/agent/control/api"
)

// waiting is a node that has just started: two groups hear no master yet, and the programs of one are not attached.
func waiting() api.Status {
	group := func(name, address string) api.Group {
		return api.Group{
			Name: name, Interface: "eth0", State: api.StateBackup, Reason: reasonStartup,
			Since: testNow().Add(-800 * time.Millisecond), Addresses: []string{address}, AdvBase: 1,
			TakesOverAt: testNow().Add(2200 * time.Millisecond), Sends: api.SendsUnicast,
			Peers:        []string{"192.0.2.11", "192.0.2.12"},
			SkippedPeers: []string{"peer 192.0.2.11 is an address of this node and is skipped"},
			Dataplane:    api.Dataplane{Mode: "tc", Egress: "tcx"},
		}
	}
	st := api.Status{Version: api.Version, Node: "fw1", Enabled: true, Preempt: true}
	st.Groups = append(st.Groups, group("eth0@1", "192.0.2.100/24"), group("eth0@2", "192.0.2.101/24"))
	later := group("eth0@3", "192.0.2.102/24")
	later.AdvBase, later.TakesOverAt = 30, testNow().Add(89*time.Second)
	attaching := group("eth1@1", "198.51.100.1/24")
	attaching.State, attaching.TakesOverAt = api.StateInit, time.Time{}
	attaching.Detail = "vipd has just started and attaches its programs to the interface"
	st.Groups = append(st.Groups, later, attaching)
	return st
}

// healthy is a node with a MASTER, two BACKUPs and all counters set.
func healthy() api.Status {
	since := testNow().Add(-3*time.Minute - 5*time.Second)
	return api.Status{
		Version: api.Version, Node: "fw1", Enabled: true, Preempt: true,
		Groups: []api.Group{
			{
				Name: "eth10@1", Interface: "eth10", VHID: 1, State: api.StateBackup, Reason: "startup", Since: since,
				Addresses: []string{"198.51.100.1/24"}, AdvBase: 1, AdvSkew: 100, EffectiveAdvSkew: 100,
				Master: &api.Master{
					Address: "198.51.100.12", AdvBase: 1, LastSeen: testNow().Add(-400 * time.Millisecond), Proven: true,
					BeatSeconds: 0.0015,
				},
				Dataplane: api.Dataplane{Mode: "native", Egress: "tcx"},
			},
			{
				Name: "eth2@20", Interface: "eth2", VHID: 20, State: api.StateBackup, Reason: "better_advert", Since: since,
				Addresses: []string{"203.0.113.1/24"}, AdvBase: 1, Dataplane: api.Dataplane{Mode: "generic"},
			},
			{
				Name:        "eth2@3",
				Interface:   "eth2",
				VHID:        3,
				State:       api.StateMaster,
				Reason:      "master_timeout",
				Since:       since,
				Description: "LAN gateway",
				Addresses:   []string{"192.0.2.100/24", "192.0.2.101/24"},
				VirtualMAC:  "00:00:5e:00:01:03",
				AdvBase:     1,
				BeatSeconds: 0.005,
				Dataplane:   api.Dataplane{Mode: "generic", Egress: "tcx", Answering: true},
				Master: &api.Master{
					Address:  "192.0.2.12",
					AdvBase:  1,
					AdvSkew:  100,
					LastSeen: testNow().Add(-2 * time.Hour),
				},
				Standbys:              []api.Standby{standby("fw2", "192.0.2.12", 100)},
				Generation:            4,
				LeaseRemainingSeconds: 2.9,
				Counters: api.Counters{
					AdvertisementsSent: 185, AdvertisementsReceived: 3,
					AdvertisementsRejected: map[string]uint64{"bad_hmac": 2, "loop": 1, "bad_ttl": 0},
					FramesDropped:          map[string]uint64{"not_answering_arp": 7},
					Packets:                1000, Bytes: 64000,
				},
				VIPs: []api.VIP{{Address: "192.0.2.100", ARPRequests: 10, ARPReplies: 9}, {Address: "192.0.2.101"}},
			},
		},
	}
}

func standby(node, address string, skew int) api.Standby {
	return api.Standby{
		Node: node, Address: address, State: api.StateBackup, AdvBase: 1, AdvSkew: skew, EffectiveAdvSkew: skew,
		Preempt: true, Version: "0.1.0", LastSeen: testNow().Add(-time.Second), TakesOverIn: 3.390625,
	}
}

// troubled is a node with many faults.
func troubled() api.Status {
	st := healthy()
	st.Maintenance, st.Demotion = true, 480
	st.Demotions = []api.Demotion{
		{Name: "maintenance", Value: 240, Since: testNow().Add(-time.Hour)},
		{Name: "link:eth1", Value: 240, Reason: "eth1 has no carrier", Since: testNow().Add(-30 * time.Second)},
	}
	st.Warnings = []string{"group \"vipd\" does not exist"}
	st.Version = "0.3.0"
	st.Groups[0].State, st.Groups[0].Reason, st.Groups[0].Master = api.StateInit, "link_down", nil
	st.Groups[0].Detail = "eth10 has no carrier: check the cable"
	st.Groups[1].State = api.StateMaster
	st.Groups[2].Standbys = append(st.Groups[2].Standbys, standby("fw3", "192.0.2.13", 200))
	const versions = "fw2 runs vipd 0.1.0, fw1 0.2.0"
	st.Groups[2].Differences = []api.Difference{
		{Code: api.DiffersVersion, Text: versions},
		{Code: api.DiffersAddresses, Text: "fw2 lacks 192.0.2.101"},
	}
	st.Groups[1].Differences = []api.Difference{{Code: api.DiffersVersion, Text: versions}}
	for i := range st.Groups {
		st.Groups[i].EffectiveAdvSkew = 240
	}
	return st
}

// rotating is a dual-stack node that changes its password and is demoted for some time.
func rotating() api.Status {
	st := healthy()
	st.Demotion = 340
	st.Demotions = []api.Demotion{
		{
			Name:   "check:uplink",
			Value:  240,
			Since:  testNow().Add(-time.Minute),
			Reason: "arp 192.0.2.1 on eth0: no answer within 1s",
		},
		{Name: "maintenance", Value: 240, Since: testNow().Add(-time.Hour), Reason: "entered by the operator"},
		{Name: "relief", Value: -240, Since: testNow().Add(-time.Hour)},
		{
			Name:    "upgrade",
			Value:   100,
			Since:   testNow().Add(-2 * time.Minute),
			Expires: testNow().Add(8 * time.Minute),
			Reason:  "router upgrade",
		},
	}
	g := &st.Groups[2]
	g.Families = []api.Family{
		{Family: api.FamilyIPv4, LastSeen: testNow().Add(-400 * time.Millisecond)},
		{Family: api.FamilyIPv6, LastSeen: testNow().Add(-time.Minute), Silent: true},
	}
	g.SilentFamily = api.FamilyIPv6
	g.Standbys = nil
	st.Groups[0].StandbysUnknown = "the master is no vipd"
	g.Contexts = []api.Context{{Name: "own", Received: 100}, {Name: "accept 1", Received: 3}}
	g.Counters.LoopsSuspected = 2
	g.Dataplane.AnswersUnseen = true
	st.Groups[1].Families = []api.Family{{Family: api.FamilyIPv6}}
	return st
}

func disabledNode() api.Status {
	st := healthy()
	st.Enabled = false
	for i := range st.Groups {
		g := &st.Groups[i]
		g.State, g.Reason, g.Detail, g.Dataplane.Answering = api.StateInit, api.ReasonDisabled, "the node is disabled", false
	}
	return st
}
