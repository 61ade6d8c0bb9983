/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counters. All are per CPU, so a plain increment is enough; a map miss only loses a count. */
#ifndef VIPD_STATS_H
#define VIPD_STATS_H

#include "maps.h"

static __always_inline struct group_stats *group_counters(__u32 slot)
{
	return bpf_map_lookup_elem(&group_stats, &slot);
}

static __always_inline void count_reject(__u32 slot, enum reject why)
{
	struct group_stats *st = group_counters(slot);

	if (st)
		st->rejected[why & (REJECT_SIZE - 1)]++;
}

static __always_inline void count_drop(__u32 slot, enum dropped why)
{
	struct group_stats *st = group_counters(slot);

	if (st)
		st->dropped[why & (DROP_SIZE - 1)]++;
}

static __always_inline void count_iface(__u32 ifindex, enum if_count what)
{
	struct if_stats *st = bpf_map_lookup_elem(&if_stats, &ifindex);

	if (st)
		st->count[what & (IF_COUNT_SIZE - 1)]++;
}

#endif
