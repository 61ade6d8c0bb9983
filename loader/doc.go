// SPDX-License-Identifier: Apache-2.0

// Package loader opens, adopts and removes the data plane in the kernel. A [Dataplane] consists of two objects: what is
// attached where (package attach) and the tables that the programs work on (package tables). Both use the programs and
// maps that package object loads. No other package of vipd imports BPF, no map or program leaves this one, and it does
// not know elections.
//
// The kernel observes and answers, the agent decides. The agent's decisions go in through [Group.SetRole] and its
// sisters, as single atomic stores into mapped memory; what the kernel saw comes out through Drain, Seen and the
// counters. Times are CLOCK_BOOTTIME nanoseconds on both sides.
//
// A [Dataplane] may be used from several goroutines. The setters of one [Group] belong to one goroutine.
package loader
