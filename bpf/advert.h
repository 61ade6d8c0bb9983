/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Adverts over IPv4 and IPv6: their group, and the checks before the digest. */
#ifndef VIPD_ADVERT_H
#define VIPD_ADVERT_H

#include "accept.h"
#include "hello.h"
#include "parse.h"
#include "place.h"
#include "stats.h"
#include "tap.h"
#include "verdict.h"
#include "vrrp.h"

/* Destination of an advert. We drop only adverts sent to the group or certainly to us. */
enum audience { TO_GROUP, TO_US, TO_UNKNOWN };

/* What the checks need to know about the IP packet of an advert. */
struct envelope {
	__u32 v6;
	__u32 off;   /* of the payload within the frame */
	__u32 plen;  /* of the payload */
	__u32 whole; /* the frame holds all of the payload */
	__u32 ttl;
	enum audience to;
};

static __always_inline __u32 sum_carp(const __u8 *p)
{
	const __u32 *w = (const __u32 *)p;

	return fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4] + w[5] + w[6] + w[7] + w[8]);
}

/* IPv6 has no checksum of its own. */
static __always_inline int ip_checksum_ok(PACKET *ctx, const struct envelope *env)
{
	const struct iphdr *ip = frame(ctx) + IP_OFF;
	const __u32 *w = (const __u32 *)ip;

	if (env->v6)
		return 1;
	if (env->off == IP_OFF + sizeof(*ip) && (void *)(ip + 1) <= frame_end(ctx))
		return fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]) == 0xffff;
	return sum_frame(ctx, IP_OFF, env->off - IP_OFF, 0) == 0xffff;
}

/* An advert to the multicast group cannot have passed a router, whatever the rule. */
static __always_inline int ttl_ok(const struct envelope *env, const struct group_val *g)
{
	return env->ttl == CARP_TTL || (g->flags & GROUP_TTL_ANY && env->to != TO_GROUP);
}

/* The cheap checks, in the order in which reasons are reported. */
static __always_inline enum reject check_cheap(PACKET *ctx, const __u8 *p,
					       const struct envelope *env, const struct group_val *g)
{
	if (!env->whole || env->plen < 8 || (void *)(p + 8) > frame_end(ctx))
		return REJECT_BAD_LENGTH;
	if (p[0] >> 4 != CARP_VERSION)
		return REJECT_BAD_VERSION;
	if (env->plen < CARP_SIZE || (void *)(p + CARP_SIZE) > frame_end(ctx))
		return REJECT_BAD_LENGTH;
	if (!ttl_ok(env, g))
		return REJECT_BAD_TTL;
	/* The stack checks the IP header later. No pseudo-header, not even over IPv6. */
	if (!ip_checksum_ok(ctx, env) || sum_carp(p) != 0xffff)
		return REJECT_BAD_CHECKSUM;
	/* OpenBSD sums 36 bytes, FreeBSD the whole payload: a longer payload has to satisfy both. */
	if (env->plen > CARP_SIZE && sum_frame(ctx, env->off, env->plen, 0) != 0xffff)
		return REJECT_BAD_CHECKSUM;
	/* Both families carry the same digest: a family without addresses is an error of the peer. */
	if (!(g->flags & (env->v6 ? GROUP_V6 : GROUP_V4)))
		return REJECT_WRONG_FAMILY;
	return REJECT_NONE;
}

static __always_inline void fill(struct advert *a, const struct carp_hdr *c)
{
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
 * A unicast advert may be in transit through this router. It is certainly ours if it goes to one of our source
 * addresses; if none is known, it passes.
 */
static __always_inline enum audience unicast_audience(__u32 slot, const __u8 *dst)
{
	struct role *r = role_of(slot);

	return r && is_own_source(r, dst) ? TO_US : TO_UNKNOWN;
}

/* Well-formed VRRP on a VHID of ours is not a damaged advert. */
static __always_inline int is_foreign(PACKET *ctx, const __u8 *p, const struct envelope *env)
{
	if (!env->whole || (void *)(p + 8) > frame_end(ctx) || !may_be_vrrp(p, env->plen, env->v6))
		return 0;
	return env->v6 ? is_vrrp6(ctx, env->plen) : is_vrrp4(ctx, env->off - IP_OFF, env->plen);
}

static __always_inline enum tap_class tap_class_of(const struct advert *a, enum reject why)
{
	switch (why) {
	case REJECT_NONE:
		if (a->ev.flags & EVENT_YIELDED ||
		    (a->ev.advbase == GOODBYE && a->ev.advskew == GOODBYE))
			return TAP_CLASS_TURN;
		return TAP_CLASS_HEARD;
	case REJECT_BAD_HMAC:
	case REJECT_LOOP:
	case REJECT_REPLAY:
	case REJECT_BAD_TRAILER:
		return TAP_CLASS_DIGEST;
	default:
		return TAP_CLASS_CHEAP;
	}
}

/* With the receive time of the event, so that the two can be matched. */
static __always_inline void tap_advert(PACKET *ctx, const struct advert *a, enum reject why)
{
	__u32 said = why == REJECT_NONE ? TAP_AUTHENTIC | TAP_FLAGS(a->ev.flags) :
					  TAP_SAID(TAP_REJECTED, why);

	if (tap_open(a->ev.slot, tap_class_of(a, why)))
		tap_in(ctx, a->ev.slot, said, a->ev.at);
}

/*
 * Handles an advert that came while this CPU was processing another one. Silence then proves nothing, as after
 * one beyond the budget.
 */
static __always_inline int unread(const struct group_val *g)
{
	struct role *r = role_of(g->slot);
	struct seen *s = seen_of(g->slot);

	count_reject(g->slot, REJECT_RATE_LIMITED);
	if (r && s)
		note_limited(s, r, recently());
	return VERDICT_NEXT;
}

/* The checks of an advert that is in order otherwise, up to its effects. */
static __always_inline int judge(struct advert *a)
{
	int why;

	if (a->proof == PROOF_CLAIMED) {
		why = prove(a);
		if (why == REJECT_NONE)
			return accept_advert(a);
		if (why != REJECT_BAD_TRAILER)
			return why;
	} else if (a->rules & GROUP_REQUIRE_TRAILER) {
		return REJECT_BAD_TRAILER;
	}
	if (!worth_a_digest(a))
		return REJECT_RATE_LIMITED;
	if (a->proof == PROOF_NONE && lacks_trailer(a))
		return REJECT_BAD_TRAILER;
	why = authenticate(a);
	if (why != REJECT_NONE)
		return why;
	return a->proof == PROOF_CLAIMED ? REJECT_BAD_TRAILER : accept_advert(a);
}

/* Handles a hello on a VHID of ours. One that is not certainly to us is in transit. */
static __always_inline int hello(PACKET *ctx, const struct envelope *env, const struct group_val *g, struct advert *a)
{
	struct group_stats *st;
	int why = REJECT_BAD_LENGTH;

	if (env->to != TO_US)
		return VERDICT_NEXT;
	if (!ttl_ok(env, g))
		why = REJECT_BAD_TTL;
	else if (env->whole)
		why = judge_hello(ctx, a, env->off, env->plen);
	if (why == REJECT_NONE) {
		st = group_counters(g->slot);
		if (st)
			st->hellos++;
		return XDP_DROP; /* consumed */
	}
	count_reject(g->slot, why);
	tap_advert(ctx, a, why);
	return XDP_DROP;
}

/* Handles an advert or a hello on a VHID of ours. The caller has filled in its source. */
static __always_inline int own_vhid(PACKET *ctx, const __u8 *p, const struct envelope *env,
				    const struct group_val *g, struct advert *a)
{
	enum reject why;

	if (is_foreign(ctx, p, env)) {
		struct group_stats *st = group_counters(g->slot);

		if (st)
			st->foreign_vrrp++;
		tap_xdp(ctx, g->slot, TAP_CLASS_CHEAP, TAP_FOREIGN_VRRP);
		count_iface(a->ev.ifindex, IF_FOREIGN_VRRP);
		return VERDICT_NEXT;
	}
	a->ev.slot = g->slot;
	a->ev.vhid = p[1];
	a->rules = g->flags;
	a->memory_s = g->memory_s;
	a->ev.ttl = env->ttl;
	if (p[0] == HELLO_FIRST && env->to != TO_GROUP)
		return hello(ctx, env, g, a);
	why = check_cheap(ctx, p, env, g);
	if (why == REJECT_NONE && (void *)(p + CARP_SIZE) <= frame_end(ctx)) {
		fill(a, (const struct carp_hdr *)p);
		if (env->plen == PROVEN_SIZE && (void *)(p + PROVEN_SIZE) <= frame_end(ctx))
			read_trailer(a, (const struct trailer *)(p + CARP_SIZE));
		why = judge(a);
	}
	if (why != REJECT_NONE) {
		count_reject(g->slot, why);
		tap_advert(ctx, a, why);
		return env->to == TO_UNKNOWN ? VERDICT_NEXT : XDP_DROP;
	}
	tap_advert(ctx, a, REJECT_NONE);
	if (env->to != TO_US)
		return XDP_PASS;
	count_drop(g->slot, DROP_UNICAST_ADVERT);
	return XDP_DROP;
}

static __always_inline int advert_v4(PACKET *ctx, __u32 ifindex)
{
	void *end = frame_end(ctx);
	struct ethhdr *eth = frame(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	struct envelope env = {};
	struct group_val *g;
	struct scratch *s;
	struct advert *a;
	__u32 tot, hl;
	int verdict;
	__u8 dst[16] __attribute__((aligned(8)));
	__u8 *p;

	if ((void *)(ip + 1) > end)
		return VERDICT_NEXT;
	hl = ip->ihl * 4;
	tot = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || hl < sizeof(*ip) || tot < hl)
		return VERDICT_NEXT;
	/* Never a fragment alone: the rest may say something else. */
	if (ip->frag_off & bpf_htons(IP_FRAGMENT_MASK))
		return VERDICT_NEXT;
	/* Adverts do not go to other group addresses, 240/4 or broadcast. */
	if (ip->daddr != bpf_htonl(CARP_GROUP_V4) && bpf_ntohl(ip->daddr) >> 29 == 7)
		return VERDICT_NEXT;
	env.off = IP_OFF + hl;
	env.plen = tot - hl;
	env.ttl = ip->ttl;
	p = (__u8 *)ip + hl;
	if (env.plen < 2 || (void *)(p + 2) > end) {
		count_iface(ifindex, IF_BAD_LENGTH);
		return VERDICT_NEXT;
	}
	env.whole = (void *)(p + env.plen) <= end;
	g = group_at(ifindex, p[1]);
	if (!g) {
		count_iface(ifindex,
			    env.whole && is_vrrp4(ctx, hl, env.plen) ? IF_FOREIGN_VRRP : IF_BAD_VHID);
		return VERDICT_NEXT;
	}
	if (!reaches_us(eth, g->nic_mac, p[1]))
		return VERDICT_NEXT;
	s = take_scratch();
	if (!s)
		return unread(g);
	a = blank_advert(s);
	v4_mapped(dst, ip->daddr);
	env.to = ip->daddr == bpf_htonl(CARP_GROUP_V4) ? TO_GROUP : unicast_audience(g->slot, dst);
	a->ev.ifindex = ifindex;
	v4_mapped(a->ev.src, ip->saddr);
	__builtin_memcpy(a->ev.src_mac, eth->h_source, ETH_ALEN);
	verdict = own_vhid(ctx, p, &env, g, a);
	give_scratch(s);
	return verdict;
}

/* Directly after the fixed header: no peer puts an extension header before an advert. */
static __always_inline int advert_v6(PACKET *ctx, __u32 ifindex)
{
	void *end = frame_end(ctx);
	struct ethhdr *eth = frame(ctx);
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct envelope env = { .v6 = 1, .off = IP_OFF + sizeof(*ip) };
	struct group_val *g;
	struct scratch *s;
	struct advert *a;
	const __u8 *dst;
	int verdict;
	__u8 *p;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return VERDICT_NEXT;
	dst = ip->daddr.s6_addr;
	if (dst[0] == 0xff && !is_carp_group_v6(dst))
		return VERDICT_NEXT;
	env.plen = bpf_ntohs(ip->payload_len);
	env.ttl = ip->hop_limit;
	p = (__u8 *)(ip + 1);
	if (env.plen < 2 || (void *)(p + 2) > end) {
		count_iface(ifindex, IF_BAD_LENGTH);
		return VERDICT_NEXT;
	}
	env.whole = (void *)(p + env.plen) <= end;
	g = group_at(ifindex, p[1]);
	if (!g) {
		count_iface(ifindex,
			    env.whole && is_vrrp6(ctx, env.plen) ? IF_FOREIGN_VRRP : IF_BAD_VHID);
		return VERDICT_NEXT;
	}
	if (!reaches_us(eth, g->nic_mac, p[1]))
		return VERDICT_NEXT;
	s = take_scratch();
	if (!s)
		return unread(g);
	a = blank_advert(s);
	env.to = dst[0] == 0xff ? TO_GROUP : unicast_audience(g->slot, dst);
	a->ev.ifindex = ifindex;
	__builtin_memcpy(a->ev.src, &ip->saddr, sizeof(a->ev.src));
	__builtin_memcpy(a->ev.src_mac, eth->h_source, ETH_ALEN);
	verdict = own_vhid(ctx, p, &env, g, a);
	give_scratch(s);
	return verdict;
}

#endif
