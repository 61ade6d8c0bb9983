// SPDX-License-Identifier: Apache-2.0

// Package loader owns the data plane in the kernel: it loads, pins and attaches
// the BPF programs of bpf/, and gives typed access to their maps. It is the only
// package that knows of BPF; no map or program leaves it, and it knows nothing of
// elections.
//
// The kernel observes and answers, the agent decides. What the agent decided goes
// in through [Group.SetRole] and its sisters, as single atomic stores into mapped
// memory; what the kernel saw comes out through [Dataplane.Drain], [Group.Seen]
// and the counters. Times are CLOCK_BOOTTIME nanoseconds on both sides.
//
// A [Dataplane] may be used from several goroutines. The setters of one [Group]
// belong to one goroutine.
package loader
