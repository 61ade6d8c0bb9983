/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps. The loader pins all that the agent uses; each has one writer. Those that have entries per group, address
 * or sender get their sizes from the config (loader/object/size.go).
 */
#ifndef VIPD_MAPS_H
#define VIPD_MAPS_H

#include <bpf/bpf_helpers.h>

#include "vipd_types.h"

/* Writer: agent. Which group owns a VHID on an interface. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct group_key);
	__type(value, struct group_val);
	__uint(max_entries, MAX_GROUPS);
} groups SEC(".maps");

/* Writer: agent, through mmap. Pinned, so that the programs of two vipds share it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct place);
	__uint(max_entries, MAX_PLACES);
} places SEC(".maps");

/* Writer: agent. Which group owns an address on an interface. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct vip_key);
	__type(value, struct vip_val);
	__uint(max_entries, MAX_VIPS);
} vips SEC(".maps");

/* Writer: agent, through mmap. Pinned like places. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct vip_place);
	__uint(max_entries, 1 << VIP_PLACE_BITS);
} vip_places SEC(".maps");

/* Writer: agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct vlan_key);
	__type(value, __u32);
	__uint(max_entries, MAX_IFACES);
} vlans SEC(".maps");

/* Writer: agent, through mmap; XDP of noted and doubted. By group slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct role);
	__uint(max_entries, MAX_GROUPS);
} roles SEC(".maps");

/* Writer: agent. By slot * 2 + role.auth_index; only the entry that is not live is written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct auth);
	__uint(max_entries, MAX_GROUPS * 2);
} auth SEC(".maps");

/* Writer: XDP; of claimed, egress. The agent zeroes an entry when it allocates the slot. By group slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct seen);
	__uint(max_entries, MAX_GROUPS);
} seen SEC(".maps");

/* Writer: XDP; read by the agent through mmap, who zeroes it like seen. By slot * 2, and 1 more for IPv6. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct heard);
	__uint(max_entries, MAX_GROUPS * 2);
} heard SEC(".maps");

/* Writer: XDP. Only authentic senders without trailers, so that a flood of forged addresses evicts none. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct source_key);
	__type(value, struct source_val);
	__uint(max_entries, MAX_SOURCES);
} sources SEC(".maps");

/*
 * Writer: XDP; the agent, too, brings back what it stored and removes what is to be forgotten. Only with the key can an
 * entry be made, and none is ever evicted: forgotten peers could be imitated without a trailer.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct source_key);
	__type(value, struct peer_val);
	__uint(max_entries, MAX_SOURCES);
} peers SEC(".maps");

/* Writer: BPF. By group slot. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct group_stats);
	__uint(max_entries, MAX_GROUPS);
} group_stats SEC(".maps");

/* Writer: BPF. By VIP slot. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct vip_stats);
	__uint(max_entries, MAX_VIPS);
} vip_stats SEC(".maps");

/* Writer: BPF (entries are created by the agent). By interface index. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, __u32);
	__type(value, struct if_stats);
	__uint(max_entries, MAX_IFACES);
} if_stats SEC(".maps");

/* Writer: XDP. By group slot. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct budget);
	__uint(max_entries, MAX_GROUPS);
} budget SEC(".maps");

/*
 * Scratch memory of an advert and its digest; it is not state and not pinned. A program may interrupt another
 * one on the same CPU (preemptible softirqs, PREEMPT_RT). It then finds the scratch busy and leaves its advert
 * unread, see take_scratch() in accept.h.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct scratch);
	__uint(max_entries, 1);
} scratch SEC(".maps");

/* Writer: BPF. Not state, like scratch. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct clock);
	__uint(max_entries, 1);
} clock SEC(".maps");

/*
 * Writer: XDP. Authentic adverts; when it is full, events_lost counts them and seen still has the last one.
 * Claims, as long as they leave most of the room to adverts (claim.h).
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_BYTES);
	__type(value, struct event); /* for bpf2go; the kernel ignores it */
} events SEC(".maps");

/* Writer: BPF. Samples of frames, see tap.h. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TAP_RING_BYTES);
	__type(value, struct tap_sample); /* for bpf2go; the kernel ignores it */
} tap SEC(".maps");

/* Writer: BPF. The rest of the budgets, by group slot. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct tap_used);
	__uint(max_entries, MAX_GROUPS);
} tap_used SEC(".maps");

/* Writer: BPF. Samples of all groups that found the ring full. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} tap_lost SEC(".maps");

/* Writer: agent. Not 0: the group is being captured. By group slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, MAX_GROUPS);
} tap_capture SEC(".maps");

/* Writer: agent; read here by the stand-in for XDP. By interface index. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct iface);
	__uint(max_entries, MAX_IFACES);
} ifaces SEC(".maps");

/* Writer: agent; not read here. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct meta);
	__uint(max_entries, 1);
} meta SEC(".maps");

#endif
