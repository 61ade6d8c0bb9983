/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What leaves the interface: nothing that speaks for a VIP without the right to, and ARP from a VIP
 * only with the virtual MAC. Runs as tcx and as a clsact direct action; TC_ACT_UNSPEC lets other
 * programs on the hook have their say in both.
 */
#ifndef VIPD_EGRESS_H
#define VIPD_EGRESS_H

#include <linux/pkt_cls.h>

#include "arp.h"
#include "parse.h"
#include "place.h"
#include "role.h"
#include "skb.h"
#include "stats.h"
#include "tap.h"

#define EGRESS_ARP_LEN (ETH_HLEN + sizeof(struct arp_eth))
#define EGRESS_IP_LEN (ETH_HLEN + sizeof(struct iphdr))

static __always_inline struct vip_val *vip_of(__u32 ifindex, __be32 addr_be)
{
	struct vip_key key = {};

	v4_mapped(key.addr, addr_be);
	key.ifindex = ifindex;
	return vip_at(&key);
}

/*
 * An advert of our group as only this host can have made it. Returns TC_ACT_OK when it is one that may
 * leave, TC_ACT_UNSPEC when it is none.
 */
static __always_inline int judge_own_advert(struct __sk_buff *skb, const struct carp_hdr *c)
{
	struct group_val *g;

	if (c->version_type >> 4 != CARP_VERSION)
		return TC_ACT_UNSPEC;
	g = group_at(skb->ifindex, 0, c->vhid);
	if (!g)
		return TC_ACT_UNSPEC;
	/* A goodbye claims nothing, and must get out just when the right to speak is gone. */
	if ((c->advbase == GOODBYE && c->advskew == GOODBYE) || advertise(g->slot)) {
		tap_egress(skb, g->slot, TAP_CLASS_SENT, TAP_ADVERT_SENT);
		return TC_ACT_OK;
	}
	count_drop(g->slot, DROP_EGRESS_ADVERT);
	tap_egress(skb, g->slot, TAP_CLASS_DROPPED, TAP_SAID(TAP_DROPPED, DROP_EGRESS_ADVERT));
	return TC_ACT_SHOT;
}

static __noinline int egress_arp(struct __sk_buff *skb)
{
	struct ethhdr *eth;
	struct arp_eth *arp;
	struct vip_val *vip;

	if (!pull(skb, EGRESS_ARP_LEN))
		return TC_ACT_UNSPEC;
	eth = (void *)(long)skb->data;
	arp = (void *)(eth + 1);
	if ((void *)(arp + 1) > (void *)(long)skb->data_end || !is_arp_ipv4(arp))
		return TC_ACT_UNSPEC;
	vip = vip_of(skb->ifindex, addr_at(arp->sip));
	if (!vip)
		return TC_ACT_UNSPEC;
	if (!answering(vip->group)) {
		count_drop(vip->group, DROP_EGRESS_ARP);
		tap_egress(skb, vip->group, TAP_CLASS_DROPPED, TAP_SAID(TAP_DROPPED, DROP_EGRESS_ARP));
		return TC_ACT_SHOT;
	}
	virtual_mac(eth->h_source, vip->vhid);
	virtual_mac(arp->sha, vip->vhid);
	tap_egress(skb, vip->group, TAP_CLASS_ANNOUNCED, TAP_ARP_SENT);
	return TC_ACT_UNSPEC;
}

/* Of protocol 112. TTL and length tell an advert of ours from a forwarded one and from VRRP. */
static __noinline int egress_advert(struct __sk_buff *skb)
{
	struct iphdr *ip;
	struct carp_hdr *c;
	__u32 hl;

	if (!pull(skb, EGRESS_IP_LEN))
		return TC_ACT_UNSPEC;
	ip = (void *)(long)skb->data + ETH_HLEN;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TC_ACT_UNSPEC;
	hl = ip->ihl * 4;
	if (hl < sizeof(*ip) || ip->ttl != CARP_TTL ||
	    bpf_ntohs(ip->tot_len) != hl + CARP_SIZE ||
	    (ip->frag_off & bpf_htons(IP_FRAGMENT_MASK)) ||
	    !pull(skb, ETH_HLEN + hl + CARP_SIZE))
		return TC_ACT_UNSPEC;
	c = (void *)(long)skb->data + ETH_HLEN + hl;
	if ((void *)(c + 1) > (void *)(long)skb->data_end)
		return TC_ACT_UNSPEC;
	return judge_own_advert(skb, c);
}

static __always_inline int egress_from4(struct __sk_buff *skb)
{
	struct iphdr *ip = (void *)(long)skb->data + ETH_HLEN;
	struct vip_val *vip;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TC_ACT_UNSPEC;
	vip = vip_of(skb->ifindex, ip->saddr);
	if (!vip || answering(vip->group))
		return TC_ACT_UNSPEC;
	count_drop(vip->group, DROP_EGRESS_IP);
	tap_egress(skb, vip->group, TAP_CLASS_DROPPED, TAP_SAID(TAP_DROPPED, DROP_EGRESS_IP));
	return TC_ACT_SHOT;
}

/* The way of every packet of this host and of those behind it: no call on it that can be done without. */
static __always_inline int egress_ipv4(struct __sk_buff *skb)
{
	int verdict = TC_ACT_UNSPEC;
	struct iphdr *ip;

	if (!pull(skb, EGRESS_IP_LEN))
		return TC_ACT_UNSPEC;
	ip = (void *)(long)skb->data + ETH_HLEN;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TC_ACT_UNSPEC;
	/* An advert leaves from an address that is no VIP; it was judged by its own rule. */
	if (ip->protocol == IP_PROTO_CARP)
		verdict = egress_advert(skb);
	return verdict == TC_ACT_UNSPEC ? egress_from4(skb) : verdict;
}

#endif
