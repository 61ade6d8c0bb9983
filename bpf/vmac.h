/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames to the virtual MAC: the stack of the node that answers gets them, no other does. */
#ifndef VIPD_VMAC_H
#define VIPD_VMAC_H

#include <linux/ipv6.h>

#include "parse.h"
#include "role.h"
#include "stats.h"
#include "verdict.h"

/*
 * Whether bpf_xdp_get_buff_len exists (kernel 5.18). Set by the loader; the verifier removes the
 * branch that is not taken. Subtracting the frame's pointers would need CAP_PERFMON.
 */
const volatile __u32 cfg_buff_len = 1;

/* The length of a frame; without the helper what the IP header says, which leaves padding out. */
static __always_inline __u64 frame_length(struct xdp_md *ctx)
{
	void *end = frame_end(ctx);
	struct ethhdr *eth = frame(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	struct ipv6hdr *ip6 = (void *)(eth + 1);

	if (cfg_buff_len)
		return bpf_xdp_get_buff_len(ctx);
	if ((void *)(ip + 1) > end)
		return ETH_ZLEN;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return ETH_HLEN + bpf_ntohs(ip->tot_len);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6) && (void *)(ip6 + 1) <= end)
		return ETH_HLEN + sizeof(*ip6) + bpf_ntohs(ip6->payload_len);
	return ETH_ZLEN;
}

static __noinline int to_virtual_mac(struct xdp_md *ctx)
{
	void *end = frame_end(ctx);
	struct ethhdr *eth = frame(ctx);
	struct group_key key = {};
	struct group_stats *st;
	struct group_val *g;

	if ((void *)(eth + 1) > end)
		return VERDICT_NEXT;
	key.ifindex = ctx->ingress_ifindex;
	key.vhid = eth->h_dest[5];
	g = bpf_map_lookup_elem(&groups, &key);
	if (!g)
		return VERDICT_NEXT;
	if (!answering(g->slot)) {
		count_drop(g->slot, DROP_NOT_ANSWERING_MAC);
		return XDP_DROP;
	}
	/* The stack takes a frame to another MAC than the NIC's for somebody else's. */
	__builtin_memcpy(eth->h_dest, g->nic_mac, ETH_ALEN);
	st = group_counters(g->slot);
	if (st) {
		st->packets++;
		st->bytes += frame_length(ctx);
	}
	return XDP_PASS;
}

#endif
