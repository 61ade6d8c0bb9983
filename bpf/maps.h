/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps. All of them are pinned by the loader; each has one writer. Bounds are defaults, the
 * loader may lower or raise those that go by slot.
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

/* Writer: agent, through mmap. No state: made anew from the groups. */
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

/* Writer: agent, through mmap. No state: made anew from the addresses. */
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

/* Writer: agent, through mmap. By group slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct role);
	__uint(max_entries, MAX_GROUPS);
} roles SEC(".maps");

/* Writer: agent. By slot * 2 + role.auth_index; the entry that is not live is the one written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct auth);
	__uint(max_entries, MAX_GROUPS * 2);
} auth SEC(".maps");

/*
 * Writer: XDP, but for claimed, which is egress's (the agent zeroes an entry when it hands out the slot).
 * By group slot.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct seen);
	__uint(max_entries, MAX_GROUPS);
} seen SEC(".maps");

/* Writer: XDP. Authentic senders only, so a flood of forged addresses evicts nobody. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct source_key);
	__type(value, struct source_val);
	__uint(max_entries, MAX_SOURCES);
} sources SEC(".maps");

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
 * Scratch of the digest, not state; not pinned. Nothing that runs on a CPU's packets interrupts
 * another there; were it to happen, a digest would come out wrong and the advert be refused.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct scratch);
	__uint(max_entries, 1);
} scratch SEC(".maps");

/* Writer: BPF. No state, like scratch. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct clock);
	__uint(max_entries, 1);
} clock SEC(".maps");

/* Writer: XDP. Authentic adverts only; when it is full, events_lost counts and seen still tells. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_BYTES);
	__type(value, struct event); /* for bpf2go; the kernel ignores it */
} events SEC(".maps");

/* Writer: BPF. Samples of frames, see tap.h. The maps of the tap are no state and not pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TAP_RING_BYTES);
	__type(value, struct tap_sample); /* for bpf2go; the kernel ignores it */
} tap SEC(".maps");

/* Writer: BPF. What is left of the budgets, by group slot. */
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

/* Writer: agent; read here by what stands in for XDP. By interface index. */
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
