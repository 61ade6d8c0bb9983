// SPDX-License-Identifier: Apache-2.0

// Package election decides which node is MASTER of a group. Step passes an event and its time to a
// Machine and returns the actions to take, in order; Deadline returns when the machine must be called
// next. It has no clock, no randomness, no goroutine, no log and no I/O: the same calls return the same
// actions.
//
// The rules are those of CARP (FreeBSD sys/netinet/ip_carp.c, OpenBSD's demotion count) under the
// invariants of docs/architecture.md: a node speaks only under a lease that it renews by advertising, the
// kernel yields before the agent runs, and no node takes over on a clock that was not watched.
//
// The caller must:
//
//   - Drain the ring of adverts as one batch in kernel time order, one Step(Advert) each, then
//     Step(Tick). Only Tick promotes, so that the newest advert of a batch decides.
//   - Call Step(Tick) at Deadline. A late or duplicate Tick is harmless.
//   - Carry out the actions in order. A Step returns at most one SendAdvert; its outcome is the next
//     event, Sent. If the outcome never comes, the machine tries again.
//   - Put SetRole into force before it carries out the next action.
//   - Set Tick.Blind if the data plane refused adverts unread since the previous Tick.
//   - After a restart, call Adopt, drain the ring, and Step(Tick).
//
// backup.go contains waiting and deciding, master.go sending and the lease, yield.go giving way to an
// advert, handover.go giving way on request and leaving, hold.go what prevents preemption, fast.go
// advbase 0, beat.go masters that advertise more often than their priority says, family.go dual stack, reach.go
// unreachable peers, adopt.go the restart.
//
// # A second protocol
//
// Specific to CARP are priority.go (comparison) and timers.go (interval, master-down time, meaning of a
// received priority). VRRPv3 would add its own Priority fields and a branch in those two files; machine,
// lease, kernel yield and release would stay.
package election
