/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The fence for IPv6: as for IPv4, with neighbour discovery instead of ARP. */
#ifndef VIPD_EGRESS6_H
#define VIPD_EGRESS6_H

#include "egress.h"
#include "nd.h"

#define EGRESS_IP6_LEN (ETH_HLEN + sizeof(struct ipv6hdr))
#define ND_CKSUM_OFF (ND_OFF + 2)

static __always_inline struct vip_val *vip_of6(__u32 ifindex, const void *addr)
{
	struct vip_key key = {};

	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	key.ifindex = ifindex;
	return vip_at(&key);
}

static __noinline int egress_advert6(struct __sk_buff *skb)
{
	struct ipv6hdr *ip;
	struct carp_hdr *c;
	__u32 plen;

	if (!pull(skb, ND_OFF + CARP_SIZE))
		return TC_ACT_UNSPEC;
	ip = (void *)(long)skb->data + ETH_HLEN;
	c = (void *)(ip + 1);
	if ((void *)(c + 1) > (void *)(long)skb->data_end || ip->hop_limit != CARP_TTL)
		return TC_ACT_UNSPEC;
	plen = bpf_ntohs(ip->payload_len);
	return is_advert_size(plen) ? judge_own_advert(skb, c, plen, 1) : TC_ACT_UNSPEC;
}

/* Global, so that the verifier checks the loop once. */
__noinline int egress_option_at(struct __sk_buff *skb, __u32 off, __u32 stop, __u32 which)
{
	return find_option((void *)(long)skb->data, (void *)(long)skb->data_end, off, stop, which);
}

/* Puts the virtual MAC into the Ethernet source and the option, and corrects the checksum. */
static __always_inline void speak_as(struct __sk_buff *skb, __u32 off, __u32 stop, __u32 which,
				     __u8 vhid)
{
	struct nd_option opt = { .type = which, .len = 1 }, *old;
	int at;

	virtual_mac(opt.mac, vhid);
	bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_source), opt.mac, ETH_ALEN, 0);
	if (stop > ND_OFF + ND_MAX_LEN || !pull(skb, stop))
		return;
	at = egress_option_at(skb, off, stop, which);
	if (at <= 0 || at > (int)(ND_OFF + ND_MAX_LEN))
		return;
	old = (void *)(long)skb->data + at;
	OPAQUE(old);
	if ((void *)(old + 1) > (void *)(long)skb->data_end)
		return;
	bpf_l4_csum_replace(skb, ND_CKSUM_OFF, 0,
			    bpf_csum_diff((__be32 *)old, sizeof(opt), (__be32 *)&opt, sizeof(opt), 0),
			    0);
	bpf_skb_store_bytes(skb, at, &opt, sizeof(opt), 0);
}

/*
 * Neighbour discovery that speaks for a VIP: from it, or an advertisement of it. Asking for a VIP from another
 * address does not: a host that is not master reaches the master that way. TC_ACT_UNSPEC if it does not.
 */
static __noinline int egress_nd(struct __sk_buff *skb)
{
	__u32 off, stop, which;
	struct vip_val *vip;
	struct ipv6hdr *ip;
	struct nd_msg *nd;
	__u8 type;

	if (!pull(skb, ND_OFF + ND_MIN_LEN))
		return TC_ACT_UNSPEC;
	pull(skb, ND_OFF + sizeof(*nd));
	ip = (void *)(long)skb->data + ETH_HLEN;
	nd = (void *)(ip + 1);
	if ((void *)nd + ND_MIN_LEN > (void *)(long)skb->data_end)
		return TC_ACT_UNSPEC;
	type = nd->type;
	off = options_of(type, &which);
	if (!off)
		return TC_ACT_UNSPEC;
	stop = ND_OFF + bpf_ntohs(ip->payload_len);
	vip = vip_of6(skb->ifindex, &ip->saddr);
	if (!vip && type == ND_NEIGHBOR_ADVERT &&
	    (void *)(nd + 1) <= (void *)(long)skb->data_end)
		vip = vip_of6(skb->ifindex, nd->target);
	if (!vip)
		return TC_ACT_UNSPEC;
	if (!answering(vip->group)) {
		count_drop(vip->group, DROP_EGRESS_ND);
		tap_egress(skb, vip->group, TAP_CLASS_DROPPED, TAP_SAID(TAP_DROPPED, DROP_EGRESS_ND));
		return TC_ACT_SHOT;
	}
	speak_as(skb, off, stop, which, vip->vhid);
	tap_egress(skb, vip->group, TAP_CLASS_ANNOUNCED, TAP_ND_SENT);
	return TC_ACT_OK;
}

static __always_inline int egress_from6(struct __sk_buff *skb)
{
	struct vip_val *vip;
	struct ipv6hdr *ip;

	ip = (void *)(long)skb->data + ETH_HLEN;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TC_ACT_UNSPEC;
	vip = vip_of6(skb->ifindex, &ip->saddr);
	if (!vip || answering(vip->group))
		return TC_ACT_UNSPEC;
	count_drop(vip->group, DROP_EGRESS_IP);
	tap_egress(skb, vip->group, TAP_CLASS_DROPPED, TAP_SAID(TAP_DROPPED, DROP_EGRESS_IP));
	return TC_ACT_SHOT;
}

static __always_inline int egress_ipv6(struct __sk_buff *skb)
{
	int verdict = TC_ACT_UNSPEC;
	struct ipv6hdr *ip;

	if (!pull(skb, EGRESS_IP6_LEN))
		return TC_ACT_UNSPEC;
	ip = (void *)(long)skb->data + ETH_HLEN;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TC_ACT_UNSPEC;
	switch (ip->nexthdr) {
	case IP_PROTO_CARP:
		verdict = egress_advert6(skb);
		break;
	case IP_PROTO_ICMPV6:
		verdict = egress_nd(skb);
		break;
	}
	return verdict == TC_ACT_UNSPEC ? egress_from6(skb) : verdict;
}

#endif
