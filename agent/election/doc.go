// SPDX-License-Identifier: Apache-2.0

// Package election decides who speaks for a redundancy group. A Machine is told what
// happened and when, by Step, and answers with the actions to take, in the order in
// which to take them; Deadline says when it wants to be called next. It has no clock,
// no randomness, no goroutine, no log and no I/O: the same calls give the same answers.
//
// The rules are those of CARP (FreeBSD sys/netinet/ip_carp.c, OpenBSD's demotion count)
// under the invariants of docs/architecture.md: a node speaks only under a lease that it
// renews by advertising, the kernel yields before the agent knows, and nobody takes over
// on a clock that was not watched.
//
// The caller's duties:
//
//   - Drain the ring of adverts as one batch in kernel time order, one Step(Advert) each,
//     then Step(Tick). Only Tick promotes, so only the newest advert of a batch decides.
//   - Step(Tick) at Deadline. A late or duplicate Tick is harmless.
//   - Carry out actions in order. A Step returns at most one SendAdvert; feed its outcome
//     as Sent before anything else. If it never comes, the machine tries again by itself.
//   - SetRole must be in force before the next action is carried out.
//   - Tick tells whether the data plane refused adverts unread since the Tick before.
//   - A restarted process begins with Adopt, drains the ring, and steps Tick.
//
// Which file holds what: backup.go waiting and deciding, master.go sending, lease.go the
// expired lease, yield.go giving way, release.go leaving for good, handover.go giving way
// on request, hold.go what keeps from preempting, fast.go advbase 0, family.go dual stack,
// adopt.go the restart.
//
// # Where a second protocol would go
//
// What is CARP here, rather than election under a lease, is in priority.go (comparing)
// and timers.go (interval, down time, what a received priority means). VRRPv3 brings
// its own Priority fields and its own branch in those two files; machine, lease, kernel
// yield and release stay as they are.
package election
