// SPDX-License-Identifier: Apache-2.0

// Package sim lets thousands of election machines live on one simulated Ethernet, breaks
// everything that can break, and holds them to the invariants of docs/architecture.md
// after every event.
//
// A peer that is no vipd has no lease. Of it is asked only what it can do: it may take over
// from a living owner when it hears a worse third one, as all of them do.
//
// Real are the election machines and every byte on the wire: adverts are built, parsed
// and authenticated by package wire. Modelled are the data plane (role, lease, yield,
// last-advert record, ring, awareness of sources, loop check; see bpf/role.h and
// bpf/accept.h), the agent's loop around the machine (agent/loop.go, agent/execute.go),
// the hosts' clocks and the network. Data plane and agent fail separately: an agent can
// hang while its kernel goes on.
//
// A run is a function of its [Scenario] alone. Time is virtual; events are ordered by
// (time, sequence of insertion), deadlines of machines by (time, number of the machine);
// nothing iterates a map; chance comes from one stream per concern, derived from the
// seed by a label, so that a new fault does not reshuffle the old ones.
//
// # What is asserted
//
//   - fence: nobody takes over by silence while an owner whose last advert it heard still
//     answers. This holds whatever is lost, late or hung.
//   - overlap: without loss, forgery or a frozen clock two nodes answer together no longer
//     than an advert needs to cross and be crossed; with them, no longer than one interval
//     after they hear each other.
//   - gap: somebody answers, no later than a healthy node's own patience allows.
//   - cause: every transition has the evidence that its reason names, and no decision is
//     made on a clock that was not watched.
//   - rate: adverts per second are bounded, whatever happens.
//   - settle: after everything is repaired exactly one node answers, the best one, and
//     nothing moves any more.
//
// # Replaying
//
// A failure prints the command that replays it, with a trace of every host's last events:
//
//	go test ./agent/sim -run '^TestSeed$' -count=1 -v -sim.seed=42
//
// make sim tries random seeds for SIMTIME. Seeds that failed once are kept in
// testdata/seeds.txt and run with every go test; what they show that is still open is in
// testdata/open.txt, and runs go around it (see [Known]) so that they find the next thing.
// -sim.fast does all that with advbase 0, -sim.mixed on a segment with a FreeBSD, an
// OpenBSD or ucarp, with IPv6 or both families, OpenBSD's timers, and agents that adopt what
// an earlier one left pinned; every other one of the random seeds is such a run.
package sim
