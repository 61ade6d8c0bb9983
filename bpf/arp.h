/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ARP requests for a VIP: answered in place from the virtual MAC while the node is answering, dropped otherwise,
 * so that the host's own stack never answers for a VIP. Also claims: ARP from a VIP with another MAC.
 */
#ifndef VIPD_ARP_H
#define VIPD_ARP_H

#include "claim.h"
#include "parse.h"
#include "place.h"
#include "role.h"
#include "stats.h"
#include "tap.h"
#include "unseen.h"
#include "verdict.h"

/* Whether the layout is that of struct arp_eth. Not every receiver checks the hardware type. */
static __always_inline int is_arp_ipv4(const struct arp_eth *arp)
{
	return arp->ptype_be == bpf_htons(ETH_P_IP) && arp->hlen == ETH_ALEN && arp->plen == 4;
}

/* Linux and the BSDs answer to both. */
static __always_inline int is_ethernet(const struct arp_eth *arp)
{
	return arp->htype_be == bpf_htons(ARPHRD_ETHER) || arp->htype_be == bpf_htons(ARPHRD_IEEE802);
}

static __always_inline __be32 addr_at(const __u8 *p)
{
	return *(const __be32 *)p;
}

/* Turns the request into the reply, sent only to the asker (RFC 826), also for a probe. */
static __always_inline void make_reply(struct ethhdr *eth, struct arp_eth *arp, __u8 vhid)
{
	__be32 vip_be = addr_at(arp->tip);

	__builtin_memcpy(eth->h_dest, arp->sha, ETH_ALEN);
	__builtin_memcpy(arp->tha, arp->sha, ETH_ALEN);
	*(__be32 *)arp->tip = addr_at(arp->sip);
	virtual_mac(eth->h_source, vhid);
	virtual_mac(arp->sha, vhid);
	*(__be32 *)arp->sip = vip_be;
	arp->op_be = bpf_htons(ARPOP_REPLY);
}

/* ARP from one of our VIPs. */
static __always_inline void arp_claim(PACKET *ctx, const struct ethhdr *eth, const struct arp_eth *arp,
				      const struct vip_key *key, const struct vip_val *vip)
{
	struct claim c = { .ifindex = key->ifindex, .slot = vip->group, .vhid = vip->vhid };
	__u8 mac[6];

	virtual_mac(mac, vip->vhid);
	if (same_mac(arp->sha, mac))
		return;
	__builtin_memcpy(c.addr, key->addr, sizeof(c.addr));
	__builtin_memcpy(c.mac, arp->sha, ETH_ALEN);
	__builtin_memcpy(c.src_mac, eth->h_source, ETH_ALEN);
	/* A gratuitous request is sampled as such. */
	if (note_claim(&c, vip->vip) && (arp->op_be != bpf_htons(ARPOP_REQUEST) || addr_at(arp->sip) != addr_at(arp->tip)))
		tap_xdp(ctx, vip->group, TAP_CLASS_ANNOUNCED, TAP_CLAIM);
}

static __always_inline int arp_packet(PACKET *ctx, __u32 ifindex)
{
	void *end = frame_end(ctx);
	struct ethhdr *eth = frame(ctx);
	struct arp_eth *arp = (void *)(eth + 1);
	struct vip_key key = {};
	struct vip_stats *st;
	struct vip_val *vip;
	int sample;

	if ((void *)(arp + 1) > end)
		return VERDICT_NEXT;
	if (!is_arp_ipv4(arp))
		return VERDICT_NEXT;
	key.ifindex = ifindex;
	v4_mapped(key.addr, addr_at(arp->sip));
	vip = vip_at(&key);
	if (vip && (arp->op_be == bpf_htons(ARPOP_REQUEST) || arp->op_be == bpf_htons(ARPOP_REPLY)))
		arp_claim(ctx, eth, arp, &key, vip);
	if (arp->op_be != bpf_htons(ARPOP_REQUEST) || !is_ethernet(arp))
		return VERDICT_NEXT;
	v4_mapped(key.addr, addr_at(arp->tip));
	vip = vip_at(&key);
	if (!vip)
		return VERDICT_NEXT;

	/* A unicast request to another host's NIC: seen only in promiscuous mode. */
	if (!reaches_us(eth, vip->nic_mac, vip->vhid))
		return VERDICT_NEXT;

	st = bpf_map_lookup_elem(&vip_stats, &vip->vip);
	if (addr_at(arp->sip) == addr_at(arp->tip)) {
		if (st)
			st->arp_gratuitous++;
		tap_xdp(ctx, vip->group, TAP_CLASS_ANNOUNCED, TAP_ARP_GRATUITOUS);
		return XDP_PASS;
	}
	if (st)
		st->arp_requests++;
	if (!answering(vip->group)) {
		if (st)
			st->arp_suppressed++;
		count_drop(vip->group, DROP_NOT_ANSWERING_ARP);
		tap_xdp(ctx, vip->group, TAP_CLASS_DROPPED, TAP_SAID(TAP_DROPPED, DROP_NOT_ANSWERING_ARP));
		return XDP_DROP;
	}
	/* No answer can go to a group address; egress corrects what the stack sends. */
	if (is_multicast_mac(arp->sha))
		return XDP_PASS;
	sample = tap_open(vip->group, TAP_CLASS_NEIGHBOUR);
	if (sample)
		tap_in(ctx, vip->group, TAP_ARP_REQUEST, 0);
	note_asked(st, addr_at(arp->sip), is_multicast_mac(eth->h_dest));
	make_reply(eth, arp, vip->vhid);
	if (sample)
		tap_in(ctx, vip->group, TAP_ARP_REPLY, 0);
	if (st)
		st->arp_replies++;
	return XDP_TX;
}

#endif
