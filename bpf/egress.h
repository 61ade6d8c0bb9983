/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The fence on the way out: nothing speaks for a VIP without the right to, and ARP from a VIP has the virtual
 * MAC. It runs as tcx and as a clsact direct action; TC_ACT_UNSPEC lets other programs on the hook decide in
 * both.
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
#include "vrrp.h"

#define ARP_FIXED_LEN 8 /* before the addresses */
#define EGRESS_ARP_LEN (ETH_HLEN + sizeof(struct arp_eth))
#define EGRESS_IP_LEN (ETH_HLEN + sizeof(struct iphdr))

static __always_inline struct vip_val *vip_of(__u32 ifindex, __be32 addr_be)
{
	struct vip_key key = {};

	v4_mapped(key.addr, addr_be);
	key.ifindex = ifindex;
	return vip_at(&key);
}

/* An advert of ours is one of these. */
static __always_inline int is_advert_size(__u32 plen)
{
	return plen == PROVEN_SIZE || plen == CARP_SIZE;
}

/*
 * Judges an advert of our group that only this host can have made. Returns TC_ACT_OK if it may leave,
 * TC_ACT_UNSPEC if it is not such an advert: a VRRP router on this host has adverts of the same length, with
 * five addresses.
 */
static __always_inline int judge_own_advert(struct __sk_buff *skb, const struct carp_hdr *c, __u32 plen, int v6)
{
	struct group_val *g;

	if (c->version_type >> 4 != CARP_VERSION || may_be_vrrp((const __u8 *)c, plen, v6))
		return TC_ACT_UNSPEC;
	g = group_at(skb->ifindex, c->vhid);
	if (!g)
		return TC_ACT_UNSPEC;
	/* A goodbye claims nothing, and must leave just when the right to speak has ended. */
	if ((c->advbase == GOODBYE && c->advskew == GOODBYE) || advertise(g->slot)) {
		tap_egress(skb, g->slot, TAP_CLASS_SENT, TAP_ADVERT_SENT);
		return TC_ACT_OK;
	}
	count_drop(g->slot, DROP_EGRESS_ADVERT);
	tap_egress(skb, g->slot, TAP_CLASS_DROPPED, TAP_SAID(TAP_DROPPED, DROP_EGRESS_ADVERT));
	return TC_ACT_SHOT;
}

/* The VIP that ARP with unusual lengths speaks for: where they say, or where a careless receiver looks. */
static __always_inline struct vip_val *odd_sender(struct __sk_buff *skb, __u32 hlen)
{
	struct vip_val *vip = 0;
	__be32 addr_be;

	if (!bpf_skb_load_bytes(skb, ETH_HLEN + ARP_FIXED_LEN + hlen, &addr_be, sizeof(addr_be)))
		vip = vip_of(skb->ifindex, addr_be);
	if (!vip && !bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct arp_eth, sip), &addr_be, sizeof(addr_be)))
		vip = vip_of(skb->ifindex, addr_be);
	return vip;
}

/*
 * ARP from a VIP, with any hardware type and lengths. It may not leave if it is truncated or has no room for the
 * virtual MAC.
 */
static __noinline int egress_arp(struct __sk_buff *skb)
{
	struct ethhdr *eth;
	struct arp_eth *arp;
	struct vip_val *vip;
	int usual;

	if (!pull(skb, ETH_HLEN + ARP_FIXED_LEN))
		return TC_ACT_UNSPEC;
	usual = pull(skb, EGRESS_ARP_LEN);
	eth = (void *)(long)skb->data;
	arp = (void *)(eth + 1);
	if ((void *)arp + ARP_FIXED_LEN > (void *)(long)skb->data_end || arp->ptype_be != bpf_htons(ETH_P_IP))
		return TC_ACT_UNSPEC;
	if (usual && (void *)(arp + 1) <= (void *)(long)skb->data_end && is_arp_ipv4(arp)) {
		vip = vip_of(skb->ifindex, addr_at(arp->sip));
	} else {
		usual = 0;
		vip = odd_sender(skb, arp->hlen);
	}
	if (!vip)
		return TC_ACT_UNSPEC;
	if (!usual || !answering(vip->group)) {
		count_drop(vip->group, DROP_EGRESS_ARP);
		tap_egress(skb, vip->group, TAP_CLASS_DROPPED, TAP_SAID(TAP_DROPPED, DROP_EGRESS_ARP));
		return TC_ACT_SHOT;
	}
	eth = (void *)(long)skb->data;
	arp = (void *)(eth + 1);
	if ((void *)(arp + 1) > (void *)(long)skb->data_end)
		return TC_ACT_UNSPEC;
	virtual_mac(eth->h_source, vip->vhid);
	virtual_mac(arp->sha, vip->vhid);
	tap_egress(skb, vip->group, TAP_CLASS_ANNOUNCED, TAP_ARP_SENT);
	return TC_ACT_UNSPEC;
}

/* Protocol 112. TTL and length distinguish an advert of ours from a forwarded one and from VRRP. */
static __noinline int egress_advert(struct __sk_buff *skb)
{
	struct iphdr *ip;
	struct carp_hdr *c;
	__u32 hl, plen;

	if (!pull(skb, EGRESS_IP_LEN))
		return TC_ACT_UNSPEC;
	ip = (void *)(long)skb->data + ETH_HLEN;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TC_ACT_UNSPEC;
	hl = ip->ihl * 4;
	plen = bpf_ntohs(ip->tot_len) - hl;
	if (hl < sizeof(*ip) || ip->ttl != CARP_TTL || !is_advert_size(plen) ||
	    (ip->frag_off & bpf_htons(IP_FRAGMENT_MASK)) ||
	    !pull(skb, ETH_HLEN + hl + CARP_SIZE))
		return TC_ACT_UNSPEC;
	c = (void *)(long)skb->data + ETH_HLEN + hl;
	if ((void *)(c + 1) > (void *)(long)skb->data_end)
		return TC_ACT_UNSPEC;
	return judge_own_advert(skb, c, plen, 0);
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

/* The path of every packet of this host and of hosts behind it: no call that can be avoided. */
static __always_inline int egress_ipv4(struct __sk_buff *skb)
{
	int verdict = TC_ACT_UNSPEC;
	struct iphdr *ip;

	if (!pull(skb, EGRESS_IP_LEN))
		return TC_ACT_UNSPEC;
	ip = (void *)(long)skb->data + ETH_HLEN;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TC_ACT_UNSPEC;
	/* An advert leaves from an address that is not a VIP; it was judged by its own rule. */
	if (ip->protocol == IP_PROTO_CARP)
		verdict = egress_advert(skb);
	return verdict == TC_ACT_UNSPEC ? egress_from4(skb) : verdict;
}

#endif
