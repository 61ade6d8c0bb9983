/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tells whether a time is still to come without reading the clock for every frame, which would be half the cost
 * of a frame to the virtual MAC. Each CPU keeps its last reading while jiffies stand still, about a tick, and
 * uses it only for times CLOCK_SLACK_NS or more ahead: to speak too long, jiffies would have to stand still for
 * that slack on a CPU that receives frames. Jiffies do not count a suspend; a NIC that is suspended and resumed
 * within one tick of running time would be served for the rest of that tick. For leases that are shorter than
 * the slack, or about to end, the clock is read each time.
 */
#ifndef VIPD_CLOCK_H
#define VIPD_CLOCK_H

#include "maps.h"

#define CLOCK_SLACK_NS 1000000000ull

static __always_inline struct clock *clock_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&clock, &zero);
}

/* 1: certainly still to come. 0: read the clock. */
static __always_inline int far_ahead(__u64 end)
{
	struct clock *c = clock_here();

	return c && c->tick == bpf_jiffies64() && c->at + CLOCK_SLACK_NS < end;
}

/* Reads the clock and keeps the reading. */
static __always_inline __u64 boot_now(void)
{
	struct clock *c = clock_here();
	__u64 tick = bpf_jiffies64(), now; /* before the clock: the reading must not look newer than it is */

	now = bpf_ktime_get_boot_ns();
	if (c) {
		/* In this order, in case another program interrupts: see scratch in maps.h. */
		*(volatile __u64 *)&c->tick = 0;
		*(volatile __u64 *)&c->at = now;
		*(volatile __u64 *)&c->tick = tick;
	}
	return now;
}

/* The time to within a tick, for what does not decide who may speak. */
static __always_inline __u64 recently(void)
{
	struct clock *c = clock_here();

	return c && c->tick == bpf_jiffies64() ? c->at : boot_now();
}

#endif
