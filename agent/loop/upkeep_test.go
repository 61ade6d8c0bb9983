// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/loader"
)

// A BACKUP whose program was gone when the master's silence ran out has heard nothing
// because it could not: it waits for an interval more with the program back.
func TestSilenceOfTheDeafIsNone(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
		b.pass(time.Second)
		b.deaf = deaf
		b.pass(2 * time.Second)
		log := b.drain()
		if got := b.group("eth0@1").machine.View().State; (got == election.Backup) != deaf {
			t.Errorf("deaf %v: %s when the master-down time is over: %q", deaf, got, log)
		}
		if slices.Contains(log, "repair 10") != deaf {
			t.Errorf("deaf %v: %q", deaf, log)
		}
		if !deaf {
			continue
		}
		b.pass(900 * time.Millisecond)
		b.expectState("eth0@1", election.Backup, election.ReasonStartup)
		b.pass(200 * time.Millisecond)
		b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	}
}

// The same where the program was put back before anybody asked: for all groups of the
// interface, and those of no other.
func TestSilenceWhileSomebodyElsePutItBack(t *testing.T) {
	b := newBench(
		t,
		testGroup("eth0", 1, "192.0.2.100/24"),
		testGroup("eth0", 2, "192.0.2.101/24"),
		testGroup("eth1", 1, "192.0.2.102/24"),
	)
	b.pass(2 * time.Second)
	b.interrupted[10]++
	b.noteRepair(
		repair{10, loader.Repaired{Attachment: loader.Attachment{Mode: "generic"}, Lost: []string{loader.HookXDP}}, nil},
	)
	b.pass(time.Second)
	for name, want := range map[string]election.State{
		"eth0@1": election.Backup,
		"eth0@2": election.Backup,
		"eth1@1": election.Master,
	} {
		if got := b.group(name).machine.View().State; got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// What was lost is counted for every reader, and told once in a while; the role stays.
func TestLostProgramsAreTold(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	var logged bytes.Buffer
	b.Loop.log = slog.New(slog.NewTextHandler(&logged, nil))
	b.master()
	lost := repair{
		10,
		loader.Repaired{
			Attachment: loader.Attachment{
				Mode:   "tc",
				Egress: "tcx",
				Note:   "somebody",
			},
			Lost: []string{loader.HookXDP, loader.HookEgress},
		},
		nil,
	}
	for range 3 {
		b.noteRepair(lost)
	}
	if n := strings.Count(logged.String(), "detached our programs"); n != 1 {
		t.Errorf("told %d times:\n%s", n, &logged)
	}
	b.now += int64(2 * time.Minute)
	b.noteRepair(lost)
	if n := strings.Count(logged.String(), "detached our programs"); n != 2 {
		t.Errorf("after two minutes told %d times:\n%s", n, &logged)
	}
	g := b.status().Groups[0]
	if g.State != "MASTER" || g.Dataplane.Mode != "tc" || g.Dataplane.Note != "somebody" ||
		g.Dataplane.ProgramsLost != 8 {
		t.Errorf("status: %+v", g.Dataplane)
	}
	if s := b.operator.Snapshot(); s.Interfaces[0].Lost[loader.HookEgress] != 4 ||
		s.Interfaces[0].Lost[loader.HookXDP] != 4 ||
		len(s.Interfaces[0].Lost) != 3 {
		t.Errorf("metrics: %+v", s.Interfaces)
	}
	b.noteRepair(
		repair{10, loader.Repaired{Attachment: loader.Attachment{Mode: "generic", Egress: "tcx"}, Returned: true}, nil},
	)
	if got := b.status().Groups[0].Dataplane; got.Mode != "generic" || got.Note != "" ||
		!strings.Contains(logged.String(), "xdp has taken over") {
		t.Errorf("returned: %+v\n%s", got, &logged)
	}
	b.noteRepair(repair{99, lost.did, nil}) // of an interface that is let go
	if got := b.status().Groups[0].Dataplane.ProgramsLost; got != 8 {
		t.Errorf("another interface's were counted: %d", got)
	}
}

// What cannot be put back ends the group's part, with the reason, until it can be had.
func TestLostForGood(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	b.noteRepair(repair{10, loader.Repaired{Lost: []string{loader.HookXDP}}, errors.New("xdp slot taken: by another one")})
	log := b.drain()
	if !slices.Contains(log, "detach 10") || !slices.Contains(log, "unplug 10@1") {
		t.Errorf("%q", log)
	}
	// The bench's Attach always works, so that the port is open again at once.
	if !slices.Contains(log, "attach eth0 10") || b.group("eth0@1").machine.View().State == election.Master {
		t.Errorf("%s; %q", b.group("eth0@1").machine.View().State, log)
	}
	h := b.history.Last("", 0).Transitions
	if !slices.ContainsFunc(h, func(tr api.Transition) bool { return tr.Reason == "attach_failed" && tr.To == "INIT" }) {
		t.Errorf("history: %+v", h)
	}
}

// Frames whose tags were lost are shown for the interface that is served by its parent.
func TestTagsLostAreShown(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.ifStats = map[string]uint64{loader.TagsLost: 3, "bad_vhid": 2}
	b.interfaces["eth0"].att.Parent = "eth9"
	b.publish()
	if got := b.status().Groups[0].Dataplane.TagsLost; got != 3 {
		t.Errorf("status: %d", got)
	}
	s := b.operator.Snapshot().Interfaces[0]
	if s.Dropped[loader.TagsLost] != 3 || s.Rejected["bad_vhid"] != 2 || len(s.Rejected) != 1 {
		t.Errorf("metrics: %+v", s)
	}
}

// A link that goes down because the programs were attached in native mode has not failed: no group leaves its state,
// the node is not demoted, and a BACKUP, which can hear nothing, does not take over. One that stays down has failed,
// and so has one that was set down.
func TestLinkResetByAttachingHasNotFailed(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth1", 1, "198.51.100.1/32"))
	b.pass(time.Second)
	up := b.links["eth0"]
	down := up
	down.Up = false
	b.links["eth0"], b.resetting = down, true
	b.syncInterfaces()
	if !b.groups.unattached {
		t.Error("the interface is not looked at again")
	}
	b.pass(2 * time.Second)
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	b.expectState("eth1@1", election.Master, election.ReasonMasterTimeout)
	if st := b.status(); st.Demotion != 0 {
		t.Errorf("demotions %+v", st.Demotions)
	}
	b.links["eth0"] = up
	b.syncInterfaces()
	b.pass(2 * time.Second)
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	b.pass(time.Second)
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)

	setDown := down
	setDown.SetDown = true
	b.links["eth0"] = setDown
	b.syncInterfaces()
	b.expectState("eth0@1", election.Init, election.ReasonLinkDown)
	b.links["eth0"] = up
	b.syncInterfaces()
	b.pass(2 * time.Second)
	b.pass(time.Second)
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)

	b.links["eth0"], b.resetting = down, false
	b.syncInterfaces()
	b.expectState("eth0@1", election.Init, election.ReasonLinkDown)
	if st := b.status(); st.Demotion != 240 {
		t.Errorf("demotions of a link that failed: %+v", st.Demotions)
	}
}
