// SPDX-License-Identifier: Apache-2.0

// Package sim runs whole segments of vipd nodes in virtual time, with every kind of fault, and checks the
// invariants of docs/architecture.md after every event.
//
// A peer that is not vipd has no lease. It is checked only for what it can guarantee: it may take over from a
// living owner when it hears a worse third node, as all of them do.
//
// The election machines and every byte on the wire are real: package wire builds, parses and authenticates the
// adverts. Modelled are the data plane (role, lease, yield, last advert, ring, what is withheld from it, awareness of
// sources and peers, loop check; see bpf/role.h, bpf/prove.h, bpf/accept.h and bpf/repeat.h), the agent's loop around
// the machine (agent/loop/loop.go, agent/loop/step.go), its numbers, the hosts' clocks and the network. Data plane and
// agent fail separately: an agent can hang while its kernel continues.
//
// An attacker has captured every frame and sends what he likes at any time, but does not have the password (attack.go,
// docs/authentication.md).
//
// A run depends on its [Scenario] alone. Time is virtual. Events are ordered by (time, sequence of insertion),
// deadlines of machines by (time, number of the machine). No map is iterated. Randomness comes from one stream
// per concern, derived from the seed by a label, so that a new fault does not change the others.
//
// # Invariants
//
//   - fence: no node takes over after silence while an owner whose last advert it heard still answers. This holds
//     whatever is lost, late or hung.
//   - overlap: without loss, forgery or a frozen clock, two nodes answer at the same time no longer than two
//     adverts take to cross; with them, no longer than one interval after they hear each other.
//   - half: a node that reaches one of two families does not own while a healthy one could.
//   - gap: a node answers, no later than a healthy node's master-down time allows.
//   - cause: every transition has the evidence that its reason names, and no decision is made on a clock that was
//     not watched.
//   - doubt: a node that claimed because beats were missing, and then heard that master alive, does not do so again
//     within a minute after less than twice that pause; and of a master that goes on sending, no single lost advert
//     makes a takeover in beats.
//   - wait: a BACKUP waits for a beat no longer than such pauses explain.
//   - order: of two backups that heard the same last beat, the better one claims first.
//   - retry: a node whose claim could not be sent claims again after no longer than the silence has lasted, and few
//     times; one that could not renew its lease waits no longer than its peers.
//   - rate: the number of adverts per second is limited in every situation.
//   - forgery: under the address of a vipd node, no advert of an attacker is accepted, except an unaltered one that
//     its receiver has not accepted before. That is not older than the tolerance, and moves nothing if the receiver
//     has heard or sent a newer one. Before a receiver has heard any, it may be of any age.
//   - heard: a vipd node is heard again within one interval after it has heard the one that refuses it.
//   - stable: after everything is repaired, exactly one node answers, the best one, and no transition follows.
//
// # Replaying
//
// A failure prints the command that replays it and a trace of every host's last events:
//
//	go test ./agent/sim -run '^TestSeed$' -count=1 -v -sim.seed=42
//
// make sim tries random seeds for SIMTIME. Seeds that failed are kept in testdata/seeds.txt and run with every go
// test. Findings that are still open are in testdata/open.txt; runs avoid them (see [Known]), so that they find
// others. -sim.fast uses advbase 0. -sim.beat uses masters with a beat (beats.go); every fourth random seed is such a
// run. -sim.mixed uses a segment with FreeBSD, OpenBSD or ucarp, with IPv6 or both families, OpenBSD's timers, and
// agents that adopt what an earlier one left pinned; every other random seed is such a run.
package sim
