/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The data plane of vipd: one XDP program that observes and answers, one tc program that fences what leaves.
 * Neither elects; they enforce the roles that the agent wrote. In doubt a frame passes.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "advert.h"
#include "arp.h"
#include "egress.h"
#include "egress6.h"
#include "maps.h"
#include "nd.h"
#include "parse.h"
#include "verdict.h"
#include "vlan.h"
#include "vmac.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The protocol in an IP packet, read as cheaply as possible: most frames are not ours. 0: too short. */
static __always_inline __u8 ipv4_proto(const struct ethhdr *eth, const void *end)
{
	const struct iphdr *ip = (const void *)(eth + 1);

	return (const void *)(ip + 1) <= end ? ip->protocol : 0;
}

static __always_inline __u8 ipv6_proto(const struct ethhdr *eth, const void *end)
{
	const struct ipv6hdr *ip = (const void *)(eth + 1);

	return (const void *)(ip + 1) <= end ? ip->nexthdr : 0;
}

SEC("xdp.frags")
int vipd_xdp(struct xdp_md *ctx)
{
	int verdict = VERDICT_NEXT, virtual;
	struct ethhdr *eth = frame(ctx);
	void *end = frame_end(ctx);
	__u32 ifindex = ctx->ingress_ifindex;
	struct tags tags;

	tags.len = 0;
	if ((void *)(eth + 1) > end)
		goto out;
	if (is_tag(eth->h_proto)) {
		tags.tag[0] = tags.tag[1] = 0; /* Linux 5.15 passes on nothing uninitialised */
		ifindex = untag(ctx, &tags);
		eth = frame(ctx);
		end = frame_end(ctx);
		if (!ifindex || (void *)(eth + 1) > end)
			goto out;
	}
	/* Now: a handler may resize the frame, which invalidates eth. */
	virtual = is_virtual_mac(eth->h_dest);
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		if (ipv4_proto(eth, end) == IP_PROTO_CARP)
			verdict = advert_v4(ctx, ifindex);
		break;
	case bpf_htons(ETH_P_IPV6):
		switch (ipv6_proto(eth, end)) {
		case IP_PROTO_CARP:
			verdict = advert_v6(ctx, ifindex);
			break;
		case IP_PROTO_ICMPV6:
			verdict = nd_packet(ctx, ifindex);
			break;
		}
		break;
	case bpf_htons(ETH_P_ARP):
		verdict = arp_packet(ctx, ifindex);
		break;
	}
	if (verdict == VERDICT_NEXT && virtual)
		verdict = to_virtual_mac(ctx, ifindex);
out:
	/* Never pass a frame whose tags were removed: it would be another network's. */
	if (tags.len && !put_tags_back(ctx, &tags)) {
		count_iface(ifindex, IF_TAGS_LOST);
		return XDP_ABORTED;
	}
	return verdict == VERDICT_NEXT ? XDP_PASS : verdict;
}

SEC("tc")
int vipd_egress(struct __sk_buff *skb)
{
	int verdict = TC_ACT_UNSPEC;
	struct ethhdr *eth;

	/* Frames of a VLAN device were judged there. Id 0 is a priority, not a VLAN. */
	if ((skb->vlan_present && skb->vlan_tci & VLAN_ID_MASK) || !pull(skb, ETH_HLEN))
		goto out;
	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		goto out;
	/* Not skb->protocol: a packet socket may set it to anything. */
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		verdict = egress_ipv4(skb);
		break;
	case bpf_htons(ETH_P_IPV6):
		verdict = egress_ipv6(skb);
		break;
	case bpf_htons(ETH_P_ARP):
		verdict = egress_arp(skb);
		break;
	}
out:
	return verdict == TC_ACT_SHOT ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}
