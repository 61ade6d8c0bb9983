/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Does what vipd_xdp does, as a tc program on ingress: for an interface whose XDP slot another program has. It
 * sees what that one passes. Tags are beside the frame here and mean another network; a group on a VLAN has its
 * program on the VLAN device, where there are none.
 */
#define VIPD_INGRESS

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "advert.h"
#include "arp.h"
#include "maps.h"
#include "nd.h"
#include "packet.h"
#include "parse.h"
#include "skb.h"
#include "verdict.h"
#include "vmac.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* More than any advert or neighbour discovery: handlers need the frame in one piece. */
#define WHOLE_LEN 2048

static __always_inline void pull_whole(struct __sk_buff *skb)
{
	bpf_skb_pull_data(skb, skb->len < WHOLE_LEN ? skb->len : WHOLE_LEN);
}

/* The protocol in the packet after the Ethernet header, which is accessible then. 0: for no handler. */
static __always_inline __u8 inner_proto(struct __sk_buff *skb, __be16 proto_be)
{
	struct ipv6hdr *ip6;
	struct iphdr *ip;

	switch (proto_be) {
	case bpf_htons(ETH_P_IP):
		if (!pull(skb, ETH_HLEN + sizeof(*ip)))
			return 0;
		ip = frame(skb) + ETH_HLEN;
		return (void *)(ip + 1) <= frame_end(skb) ? ip->protocol : 0;
	case bpf_htons(ETH_P_IPV6):
		if (!pull(skb, ETH_HLEN + sizeof(*ip6)))
			return 0;
		ip6 = frame(skb) + ETH_HLEN;
		return (void *)(ip6 + 1) <= frame_end(skb) ? ip6->nexthdr : 0;
	}
	return 0;
}

static __always_inline int handle(struct __sk_buff *skb, __u32 ifindex, __be16 proto_be)
{
	__u8 inner = inner_proto(skb, proto_be);

	switch (proto_be) {
	case bpf_htons(ETH_P_ARP):
		pull_whole(skb);
		return arp_packet(skb, ifindex);
	case bpf_htons(ETH_P_IP):
		if (inner != IP_PROTO_CARP)
			break;
		pull_whole(skb);
		return advert_v4(skb, ifindex);
	case bpf_htons(ETH_P_IPV6):
		if (inner != IP_PROTO_CARP && inner != IP_PROTO_ICMPV6)
			break;
		pull_whole(skb);
		return inner == IP_PROTO_CARP ? advert_v6(skb, ifindex) : nd_packet(skb, ifindex);
	}
	return VERDICT_NEXT;
}

static __always_inline int same_header(const struct ethhdr *a, const struct ethhdr *b)
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b;

	return same_mac(a->h_dest, b->h_dest) && same_mac(a->h_source, b->h_source) && x[6] == y[6];
}

/*
 * Makes the Ethernet header accessible, 0 if there is none. If a generic XDP program for frames in several
 * buffers ("xdp.frags") has the slot, the kernel (6.9 and newer) works on a copy of the frame that has lost the
 * length of that header, and shows tc programs what follows it. It is put back, which also helps the programs
 * after this one.
 */
static __always_inline int find_header(struct __sk_buff *skb)
{
	struct ethhdr eth, *at;

	if (bpf_skb_load_bytes_relative(skb, 0, &eth, sizeof(eth), BPF_HDR_START_MAC) || !pull(skb, ETH_HLEN))
		return 0;
	at = frame(skb);
	if ((void *)(at + 1) > frame_end(skb))
		return 0;
	if (same_header(&eth, at))
		return 1;
	return !bpf_skb_change_head(skb, ETH_HLEN, 0) && !bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0);
}

SEC("tc")
int vipd_ingress(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	int verdict, virtual;
	struct ethhdr *eth;

	if ((skb->vlan_present && skb->vlan_tci & VLAN_ID_MASK) || !find_header(skb))
		return TC_ACT_UNSPEC;
	eth = frame(skb);
	if ((void *)(eth + 1) > frame_end(skb) || is_tag(eth->h_proto))
		return TC_ACT_UNSPEC;
	virtual = is_virtual_mac(eth->h_dest);
	verdict = handle(skb, ifindex, eth->h_proto);
	if (verdict == VERDICT_NEXT && virtual)
		verdict = to_virtual_mac(skb, ifindex);
	switch (verdict) {
	case XDP_DROP:
		return TC_ACT_SHOT;
	case XDP_TX:
		/* Out where it came from, past the egress program, which finds the group answering. */
		return bpf_redirect(ifindex, 0);
	}
	return TC_ACT_UNSPEC;
}
