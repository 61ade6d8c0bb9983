/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Neighbour solicitations for a VIP (RFC 4861): answered in place from the virtual MAC while the node is
 * answering, dropped otherwise, as with ARP; also claims. Malformed messages are left to the stack, which
 * ignores them.
 */
#ifndef VIPD_ND_H
#define VIPD_ND_H

#include "claim.h"
#include "parse.h"
#include "place.h"
#include "role.h"
#include "stats.h"
#include "tap.h"
#include "unseen.h"
#include "verdict.h"

#define ND_ROUTER_SOLICIT 133
#define ND_ROUTER_ADVERT 134
#define ND_NEIGHBOR_SOLICIT 135
#define ND_NEIGHBOR_ADVERT 136
#define ND_HOP_LIMIT 255
#define ND_OPT_SOURCE_LL 1
#define ND_OPT_TARGET_LL 2
#define ND_ROUTER 0x80000000u
#define ND_SOLICITED 0x40000000u
#define ND_OVERRIDE 0x20000000u
#define ND_MAX_OPTIONS 8
#define ND_MIN_LEN 8 /* a router solicitation without options */

struct nd_msg {
	__u8 type;
	__u8 code;
	__be16 cksum_be;
	__be32 flags_be;
	__u8 target[16];
};
_Static_assert(sizeof(struct nd_msg) == 24, "nd_msg");

struct nd_option {
	__u8 type;
	__u8 len; /* in units of 8 bytes */
	__u8 mac[6];
};
_Static_assert(sizeof(struct nd_option) == 8, "nd_option");

#define ND_OFF (IP_OFF + sizeof(struct ipv6hdr))
#define ND_MAX_LEN (SUM_WORDS * 4)
/* An advertisement: always with the link-layer option. */
#define NA_LEN (sizeof(struct nd_msg) + sizeof(struct nd_option))
#define NA_FRAME_LEN (ND_OFF + NA_LEN)

/*
 * Returns the offset of the first link-layer option of a type, among the options from off up to stop. 0: none.
 * Negative: malformed, or more options than any host sends.
 */
static __always_inline int find_option(const __u8 *data, const __u8 *end, __u32 off, __u32 stop,
				       __u32 type)
{
	int found = 0, i;
	const __u8 *p;
	__u32 len;

	if (off > ND_OFF + sizeof(struct nd_msg) || stop > ND_OFF + ND_MAX_LEN)
		return -1;
	for (i = 0; i < ND_MAX_OPTIONS && off != stop; i++) {
		p = data + off;
		OPAQUE(p);
		if (p + 2 > end)
			return -1;
		len = p[1] * 8;
		if (!len || off + len > stop)
			return -1;
		if (p[0] == type && len == sizeof(struct nd_option) && !found)
			found = off;
		off += len;
	}
	return off == stop ? found : -1;
}

/* Where the options of a message begin, and which holds its sender's link-layer address. */
static __always_inline __u32 options_of(__u8 type, __u32 *which)
{
	*which = type == ND_NEIGHBOR_ADVERT ? ND_OPT_TARGET_LL : ND_OPT_SOURCE_LL;
	switch (type) {
	case ND_ROUTER_SOLICIT:
		return ND_OFF + 8;
	case ND_ROUTER_ADVERT:
		return ND_OFF + 16;
	case ND_NEIGHBOR_SOLICIT:
	case ND_NEIGHBOR_ADVERT:
		return ND_OFF + sizeof(struct nd_msg);
	}
	return 0;
}

/* Global, so that the verifier checks the loop once. */
__noinline int nd_option_at(PACKET *ctx, __u32 off, __u32 stop, __u32 which)
{
	return find_option(frame(ctx), frame_end(ctx), off, stop, which);
}

static __always_inline int is_unspecified(const __u8 *addr)
{
	const __u64 *w = (const __u64 *)addr;

	return !(w[0] | w[1]);
}

/* ff02::1:ff00:0/104 with the last three bytes of target. */
static __always_inline int is_solicited_node(const __u8 *addr, const __u8 *target)
{
	const __u32 *w = (const __u32 *)addr, *t = (const __u32 *)target;

	return w[0] == bpf_htonl(0xff020000) && w[1] == 0 && w[2] == bpf_htonl(1) &&
	       w[3] == (t[3] | bpf_htonl(0xff000000));
}

/* RFC 4861, 7.1.1, for a solicitation with plen bytes; ll becomes the offset of its option, or 0. */
static __always_inline int is_valid_solicitation(PACKET *ctx, const struct ipv6hdr *ip,
						 const struct nd_msg *nd, int *ll)
{
	__u32 plen = bpf_ntohs(ip->payload_len);

	if (ip->hop_limit != ND_HOP_LIMIT || nd->code || plen < sizeof(*nd))
		return 0;
	if (sum_frame(ctx, ND_OFF, plen, pseudo_v6(ip, IP_PROTO_ICMPV6, plen)) != 0xffff)
		return 0;
	*ll = nd_option_at(ctx, ND_OFF + sizeof(*nd), ND_OFF + plen, ND_OPT_SOURCE_LL);
	if (*ll < 0)
		return 0;
	if (!is_unspecified(ip->saddr.s6_addr))
		return 1;
	return !*ll && is_solicited_node(ip->daddr.s6_addr, nd->target);
}

/* The asker: where the answer goes. */
struct asker {
	__u8 addr[16];
	__u8 mac[6];
	__u8 flags; /* of the VIP */
	__u8 vhid;
};

/* The link-layer address is the option's, else the frame's. 0: no answer can go there. */
static __always_inline int find_asker(PACKET *ctx, const struct ethhdr *eth,
				      const struct ipv6hdr *ip, __u32 ll, struct asker *who)
{
	const __u8 *mac = frame(ctx) + (ll & 0xfff) + 2;

	__builtin_memcpy(who->addr, &ip->saddr, sizeof(who->addr));
	__builtin_memcpy(who->mac, eth->h_source, ETH_ALEN);
	OPAQUE(mac);
	if (ll) {
		if ((void *)(mac + ETH_ALEN) > frame_end(ctx))
			return 0;
		__builtin_memcpy(who->mac, mac, ETH_ALEN);
	}
	return !is_multicast_mac(who->mac);
}

/*
 * Turns the solicitation into the answer. It goes to all nodes if the source was unspecified, as in duplicate
 * address detection. The link-layer option is always present: RFC 4861 allows a unicast answer to a unicast
 * solicitation without it, but such a solicitation may have reached us at the NIC's own MAC, and the answer
 * moves the asker to the virtual one.
 */
static __always_inline void make_advertisement(struct ethhdr *eth, struct asker *who)
{
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct nd_msg *nd = (void *)(ip + 1);
	struct nd_option *opt = (void *)(nd + 1);
	__u32 flags = ND_OVERRIDE | (who->flags & VIP_ROUTER ? ND_ROUTER : 0);
	__u32 *w = (__u32 *)nd, *dst = (__u32 *)&ip->daddr;
	__u16 *mac = (__u16 *)eth->h_dest;

	if (is_unspecified(who->addr)) {
		mac[0] = bpf_htons(0x3333);
		mac[1] = 0;
		mac[2] = bpf_htons(1);
		dst[0] = bpf_htonl(0xff020000);
		dst[1] = 0;
		dst[2] = 0;
		dst[3] = bpf_htonl(1);
	} else {
		flags |= ND_SOLICITED;
		__builtin_memcpy(mac, who->mac, ETH_ALEN);
		__builtin_memcpy(dst, who->addr, sizeof(who->addr));
	}
	virtual_mac(eth->h_source, who->vhid);
	*(__be32 *)ip = bpf_htonl(6u << 28);
	ip->payload_len = bpf_htons(NA_LEN);
	__builtin_memcpy(&ip->saddr, nd->target, sizeof(ip->saddr));
	w[0] = bpf_htonl(ND_NEIGHBOR_ADVERT << 24);
	nd->flags_be = bpf_htonl(flags);
	opt->type = ND_OPT_TARGET_LL;
	opt->len = 1;
	virtual_mac(opt->mac, who->vhid);
	nd->cksum_be = ~fold(pseudo_v6(ip, IP_PROTO_ICMPV6, NA_LEN) + w[0] + w[1] + w[2] + w[3] +
			     w[4] + w[5] + w[6] + w[7]);
}

/* Makes room for the answer, which is never longer than a NIC accepts, and writes it. */
static __always_inline int answer(PACKET *ctx, struct asker *who)
{
	struct ethhdr *eth;

	if (resize(ctx, NA_FRAME_LEN))
		return 0;
	eth = frame(ctx);
	if ((void *)eth + NA_FRAME_LEN > frame_end(ctx))
		return 0;
	make_advertisement(eth, who);
	resum(ctx, eth + 1, NA_FRAME_LEN - ETH_HLEN);
	return 1;
}

/*
 * Returns the claim in a message from c->addr, or about it. Only what a receiver accepts as valid is one: RFC
 * 4861, 6.1 and 7.1. Without an option the sender is at the source of the frame.
 */
__noinline int nd_claim(PACKET *ctx, struct claim *c, __u32 vip)
{
	void *end = frame_end(ctx);
	struct ethhdr *eth = frame(ctx);
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct nd_msg *nd = (void *)(ip + 1);
	__u32 off, which, plen;
	__u8 mac[6];
	int ll;

	if (!c || (void *)nd + ND_MIN_LEN > end || ip->hop_limit != ND_HOP_LIMIT || nd->code)
		return 0;
	plen = bpf_ntohs(ip->payload_len);
	off = options_of(nd->type, &which);
	__builtin_memcpy(c->src_mac, eth->h_source, ETH_ALEN);
	if (!off || off > ND_OFF + plen ||
	    sum_frame(ctx, ND_OFF, plen, pseudo_v6(ip, IP_PROTO_ICMPV6, plen)) != 0xffff)
		return 0;
	ll = nd_option_at(ctx, off, ND_OFF + plen, which);
	if (ll < 0)
		return 0;
	__builtin_memcpy(c->mac, c->src_mac, ETH_ALEN);
	if (ll) {
		struct nd_option *opt = frame(ctx) + (ll & 0xfff);

		OPAQUE(opt);
		if ((void *)(opt + 1) > frame_end(ctx))
			return 0;
		__builtin_memcpy(c->mac, opt->mac, ETH_ALEN);
	}
	virtual_mac(mac, c->vhid);
	return !same_mac(c->mac, mac) && note_claim(c, vip);
}

/* The VIP of a message: the target of an advertisement, the source of any other message. */
static __always_inline void nd_speaker(PACKET *ctx, __u32 ifindex)
{
	struct ipv6hdr *ip = frame(ctx) + IP_OFF;
	struct nd_msg *nd = (void *)(ip + 1);
	struct claim c = { .ifindex = ifindex };
	struct vip_key key = {};
	struct vip_val *vip;

	if ((void *)nd + ND_MIN_LEN > frame_end(ctx))
		return;
	if (nd->type == ND_NEIGHBOR_ADVERT) {
		if ((void *)(nd + 1) > frame_end(ctx))
			return;
		__builtin_memcpy(key.addr, nd->target, sizeof(key.addr));
	} else {
		__builtin_memcpy(key.addr, &ip->saddr, sizeof(key.addr));
	}
	key.ifindex = ifindex;
	vip = vip_at(&key);
	if (!vip)
		return;
	c.slot = vip->group;
	c.vhid = vip->vhid;
	__builtin_memcpy(c.addr, key.addr, sizeof(c.addr));
	if (nd_claim(ctx, &c, vip->vip))
		tap_xdp(ctx, c.slot, TAP_CLASS_ANNOUNCED, TAP_CLAIM);
}

__noinline int nd_solicitation(PACKET *ctx, __u32 ifindex)
{
	void *end = frame_end(ctx);
	struct ethhdr *eth = frame(ctx);
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct nd_msg *nd = (void *)(ip + 1);
	struct vip_key key = {};
	struct vip_stats *st;
	struct vip_val *vip;
	struct asker who;
	int ll, sample;

	if ((void *)(nd + 1) > end || ip->version != 6 || nd->type != ND_NEIGHBOR_SOLICIT)
		return VERDICT_NEXT;
	__builtin_memcpy(key.addr, nd->target, sizeof(key.addr));
	key.ifindex = ifindex;
	vip = vip_at(&key);
	if (!vip || !reaches_us(eth, vip->nic_mac, vip->vhid))
		return VERDICT_NEXT;
	/* Sent to another address of ours, or from where no answer can go: no host sends that. */
	if (ip->daddr.s6_addr[0] != 0xff && !same_addr(ip->daddr.s6_addr, nd->target))
		return VERDICT_NEXT;
	if (ip->saddr.s6_addr[0] == 0xff || same_addr(ip->saddr.s6_addr, nd->target))
		return VERDICT_NEXT;
	if (!is_valid_solicitation(ctx, ip, nd, &ll))
		return VERDICT_NEXT;

	st = bpf_map_lookup_elem(&vip_stats, &vip->vip);
	if (st)
		st->nd_solicitations++;
	if (!answering(vip->group)) {
		if (st)
			st->nd_suppressed++;
		count_drop(vip->group, DROP_NOT_ANSWERING_ND);
		tap_xdp(ctx, vip->group, TAP_CLASS_DROPPED, TAP_SAID(TAP_DROPPED, DROP_NOT_ANSWERING_ND));
		return XDP_DROP;
	}
	note_asked(st, ip->saddr.s6_addr32[3], is_multicast_mac(eth->h_dest));
	who.vhid = vip->vhid;
	who.flags = vip->flags;
	/* The stack answers too; egress puts the virtual MAC in. */
	if (!find_asker(ctx, eth, ip, ll, &who))
		return VERDICT_NEXT;
	sample = tap_open(vip->group, TAP_CLASS_NEIGHBOUR);
	if (sample)
		tap_in(ctx, vip->group, TAP_ND_SOLICITATION, 0);
	if (!answer(ctx, &who))
		return VERDICT_NEXT;
	if (sample)
		tap_in(ctx, vip->group, TAP_ND_ADVERTISEMENT, 0);
	if (st)
		st->nd_advertisements++;
	return XDP_TX;
}

/* ICMPv6: neighbour discovery, or not ours. */
static __always_inline int nd_packet(PACKET *ctx, __u32 ifindex)
{
	struct nd_msg *nd = frame(ctx) + ND_OFF;

	if ((void *)nd + ND_MIN_LEN > frame_end(ctx) || nd->type < ND_ROUTER_SOLICIT || nd->type > ND_NEIGHBOR_ADVERT)
		return VERDICT_NEXT;
	nd_speaker(ctx, ifindex);
	return nd_solicitation(ctx, ifindex);
}

#endif
