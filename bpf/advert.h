/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Adverts over IPv4: whose they are, and the checks before the digest. */
#ifndef VIPD_ADVERT_H
#define VIPD_ADVERT_H

#include "accept.h"
#include "parse.h"
#include "stats.h"
#include "verdict.h"
#include "vrrp.h"

/* Where an advert was sent. We only ever drop what was sent to the group or surely to us. */
enum audience { TO_GROUP, TO_US, TO_UNKNOWN };

/* The fields of the IPv4 envelope that the checks need. */
struct envelope {
	__u32 hl;   /* header */
	__u32 plen; /* payload */
	__u32 whole; /* the frame holds all of the payload */
};

static __always_inline __u32 sum_carp(const __u8 *p)
{
	const __u32 *w = (const __u32 *)p;

	return fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4] + w[5] + w[6] + w[7] + w[8]);
}

static __always_inline int ip_checksum_ok(struct xdp_md *ctx, const struct iphdr *ip, __u32 hl)
{
	const __u32 *w = (const __u32 *)ip;

	if (hl == sizeof(*ip))
		return fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]) == 0xffff;
	return sum_frame(ctx, ETH_HLEN, hl, 0) == 0xffff;
}

/* The checks that cost little, in the order in which a reason is reported. */
static __always_inline enum reject check_cheap(struct xdp_md *ctx, const struct iphdr *ip,
					       const __u8 *p, const struct envelope *env)
{
	if (!env->whole || env->plen < 8 || (void *)(p + 8) > frame_end(ctx))
		return REJECT_BAD_LENGTH;
	if (p[0] >> 4 != CARP_VERSION)
		return REJECT_BAD_VERSION;
	if (env->plen < CARP_SIZE || (void *)(p + CARP_SIZE) > frame_end(ctx))
		return REJECT_BAD_LENGTH;
	if (ip->ttl != CARP_TTL)
		return REJECT_BAD_TTL;
	/* The stack, which checks the IP header, comes after us. */
	if (!ip_checksum_ok(ctx, ip, env->hl) || sum_carp(p) != 0xffff)
		return REJECT_BAD_CHECKSUM;
	/* OpenBSD sums 36 bytes, FreeBSD the whole payload: a longer one has to satisfy both. */
	if (env->plen > CARP_SIZE && sum_frame(ctx, ETH_HLEN + env->hl, env->plen, 0) != 0xffff)
		return REJECT_BAD_CHECKSUM;
	return REJECT_NONE;
}

static __always_inline void fill(struct advert *a, const struct ethhdr *eth, const struct iphdr *ip,
				 const struct carp_hdr *c)
{
	v4_mapped(a->ev.src, ip->saddr);
	__builtin_memcpy(a->ev.src_mac, eth->h_source, ETH_ALEN);
	a->ev.ttl = ip->ttl;
	a->ev.advbase = c->advbase;
	a->ev.advskew = c->advskew;
	a->ev.demote = c->demote;
	a->ev.counter = (__u64)bpf_ntohl(c->counter_be[0]) << 32 | bpf_ntohl(c->counter_be[1]);
	a->md.w[0] = bpf_ntohl(c->md_be[0]);
	a->md.w[1] = bpf_ntohl(c->md_be[1]);
	a->md.w[2] = bpf_ntohl(c->md_be[2]);
	a->md.w[3] = bpf_ntohl(c->md_be[3]);
	a->md.w[4] = bpf_ntohl(c->md_be[4]);
	a->prio = c->advbase << 16 | c->advskew << 8 | c->demote;
}

/*
 * A unicast advert may be in transit through a router. It is surely ours when it goes to one of our
 * source addresses, or when none is known and it came to our NIC.
 */
static __always_inline enum audience audience_of(__u32 slot, __be32 daddr)
{
	struct role *r = role_of(slot);
	__u8 dst[16];

	if (daddr == bpf_htonl(CARP_GROUP_V4))
		return TO_GROUP;
	v4_mapped(dst, daddr);
	if (!r || !READ_ONCE(r->n_src) || is_own_source(r, dst))
		return TO_US;
	return TO_UNKNOWN;
}

/* Ethernet destinations that reach our stack: group addresses, the NIC's own and the virtual MAC. */
static __always_inline int reaches_us(const struct ethhdr *eth, const struct group_val *g,
				      __u8 vhid)
{
	__u8 mac[6];

	virtual_mac(mac, vhid);
	return is_multicast_mac(eth->h_dest) || same_mac(eth->h_dest, g->nic_mac) ||
	       same_mac(eth->h_dest, mac);
}

/* An advert on a VHID of ours. */
static __always_inline int own_vhid(struct xdp_md *ctx, const struct iphdr *ip, const __u8 *p,
				    const struct envelope *env, const struct group_val *g)
{
	const struct ethhdr *eth = (const void *)ip - ETH_HLEN; /* checked together with ip */
	struct advert a = {};
	enum audience to = audience_of(g->slot, ip->daddr);
	enum reject why;

	if (env->whole && (void *)(p + 8) <= frame_end(ctx) && may_be_vrrp4(p, env->plen) &&
	    is_vrrp4(ctx, env->hl, env->plen)) {
		struct group_stats *st = group_counters(g->slot);

		if (st)
			st->foreign_vrrp++;
		count_iface(ctx->ingress_ifindex, IF_FOREIGN_VRRP);
		return VERDICT_NEXT;
	}
	a.ev.ifindex = ctx->ingress_ifindex;
	a.ev.slot = g->slot;
	a.ev.vhid = p[1];
	why = check_cheap(ctx, ip, p, env);
	if (why == REJECT_NONE && (void *)(p + CARP_SIZE) <= frame_end(ctx)) {
		fill(&a, eth, ip, (const struct carp_hdr *)p);
		why = authenticate(&a);
		if (why == REJECT_NONE)
			why = accept_advert(&a);
	}
	if (why != REJECT_NONE) {
		count_reject(g->slot, why);
		return to == TO_UNKNOWN ? VERDICT_NEXT : XDP_DROP;
	}
	if (to != TO_US)
		return XDP_PASS;
	count_drop(g->slot, DROP_UNICAST_ADVERT);
	return XDP_DROP;
}

static __noinline int advert_v4(struct xdp_md *ctx)
{
	void *end = frame_end(ctx);
	struct ethhdr *eth = frame(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	struct group_key key = {};
	struct envelope env;
	struct group_val *g;
	__u32 tot;
	__u8 *p;

	if ((void *)(ip + 1) > end)
		return VERDICT_NEXT;
	env.hl = ip->ihl * 4;
	tot = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || env.hl < sizeof(*ip) || tot < env.hl)
		return VERDICT_NEXT;
	/* Never on its own: the rest may say something else. */
	if (ip->frag_off & bpf_htons(IP_FRAGMENT_MASK))
		return VERDICT_NEXT;
	/* Other group addresses, 240/4 and broadcast are not where adverts go. */
	if (ip->daddr != bpf_htonl(CARP_GROUP_V4) && bpf_ntohl(ip->daddr) >> 29 == 7)
		return VERDICT_NEXT;
	env.plen = tot - env.hl;
	p = (__u8 *)ip + env.hl;
	if (env.plen < 2 || (void *)(p + 2) > end) {
		count_iface(ctx->ingress_ifindex, IF_BAD_LENGTH);
		return VERDICT_NEXT;
	}
	env.whole = (void *)(p + env.plen) <= end;
	key.ifindex = ctx->ingress_ifindex;
	key.vhid = p[1];
	g = bpf_map_lookup_elem(&groups, &key);
	if (g)
		return reaches_us(eth, g, key.vhid) ? own_vhid(ctx, ip, p, &env, g) : VERDICT_NEXT;
	count_iface(key.ifindex, env.whole && is_vrrp4(ctx, env.hl, env.plen) ? IF_FOREIGN_VRRP :
										 IF_BAD_VHID);
	return VERDICT_NEXT;
}

#endif
