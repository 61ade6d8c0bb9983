/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames to the virtual MAC: only the stack of the answering node gets them. */
#ifndef VIPD_VMAC_H
#define VIPD_VMAC_H

#include "parse.h"
#include "place.h"
#include "role.h"
#include "stats.h"
#include "tap.h"
#include "verdict.h"

/* Tags may be in the frame. */
static __always_inline int to_virtual_mac(PACKET *ctx, __u32 ifindex)
{
	void *end = frame_end(ctx);
	struct ethhdr *eth = frame(ctx);
	struct group_stats *st;
	struct group_val *g;

	if ((void *)(eth + 1) > end)
		return VERDICT_NEXT;
	g = group_at(ifindex, eth->h_dest[5]);
	if (!g)
		return VERDICT_NEXT;
	if (!answering(g->slot)) {
		count_drop(g->slot, DROP_NOT_ANSWERING_MAC);
		tap_xdp(ctx, g->slot, TAP_CLASS_DROPPED, TAP_SAID(TAP_DROPPED, DROP_NOT_ANSWERING_MAC));
		return XDP_DROP;
	}
	/* The stack ignores frames to another MAC than the NIC's. */
	__builtin_memcpy(eth->h_dest, g->nic_mac, ETH_ALEN);
	st = group_counters(g->slot);
	if (st) {
		st->packets++;
		st->bytes += frame_length(ctx);
	}
	deliver(ctx);
	return XDP_PASS;
}

#endif
