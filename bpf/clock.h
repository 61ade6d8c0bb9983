/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether a time is still to come, without reading the clock for every frame: that is half of what a frame
 * to the virtual MAC would cost. Each CPU keeps its last reading for as long as jiffies stand still, a tick
 * or so, and goes by it only for what is CLOCK_SLACK_NS or more ahead of it: to speak too long, jiffies
 * would have to stand still for that slack on a CPU that takes in frames. They do not count a suspend; a NIC
 * that were suspended and resumed within one tick of running time would be served for the rest of that tick.
 * Leases that are shorter than the slack, or about to end, have the clock read each time.
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

/* 1: surely still to come. 0: look at the clock. */
static __always_inline int far_ahead(__u64 end)
{
	struct clock *c = clock_here();

	return c && c->tick == bpf_jiffies64() && c->at + CLOCK_SLACK_NS < end;
}

/* Reads the clock, and remembers it. */
static __always_inline __u64 boot_now(void)
{
	struct clock *c = clock_here();
	__u64 tick = bpf_jiffies64(), now; /* before the clock: it must not look younger than it is */

	now = bpf_ktime_get_boot_ns();
	if (c) {
		/* In this order, should another program come between: see maps.h, scratch. */
		*(volatile __u64 *)&c->tick = 0;
		*(volatile __u64 *)&c->at = now;
		*(volatile __u64 *)&c->tick = tick;
	}
	return now;
}

/* The time to within a tick, for what is not a matter of right. */
static __always_inline __u64 recently(void)
{
	struct clock *c = clock_here();

	return c && c->tick == bpf_jiffies64() ? c->at : boot_now();
}

#endif
