/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hellos: what one vipd node tells another about itself, by unicast, with protocol 112 and a version that neither CARP
 * nor VRRP has. See docs/authentication.md. A hello influences nothing here but what is known of its source; the agent
 * reads it from the ring. Before its tag is checked it has to fit a budget of its own, since a tag over all of it costs
 * more than an advert's.
 */
#ifndef VIPD_HELLO_H
#define VIPD_HELLO_H

#include "budget.h"
#include "claim.h"
#include "prove.h"

#define HELLO_FIRST 0xf1 /* version 15, type 1 */
#define HELLO_MIN 56
#define HELLO_WORDS (HELLO_MAX / 8)
#define HELLO_NUMBER 8 /* offset */
#define HELLO_TAG 16
#define HELLO_AGAIN_NS 100000000ull /* between two of a source */

/* Whether the tag of a hello at off is right under a context. Global: verified once. */
__noinline int hello_matches(PACKET *ctx, const struct auth_context *c, const struct advert *a, __u32 off, __u32 len)
{
	void *end = frame_end(ctx);
	__u8 *p = frame(ctx), *dst;
	struct ethhdr *eth = (void *)p;
	__u64 tag = 0, w;
	struct sip s;
	__u32 i;

	if (!c || !a || !c->trailers || (void *)(p + IP_OFF + sizeof(struct ipv6hdr)) > end || off > OFF_MAX)
		return 0;
	sip_begin(&s, c->trailer_key);
	sip_absorb(&s, sip_word(a->ev.src));
	sip_absorb(&s, sip_word(a->ev.src + 8));
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		dst = p + IP_OFF + offsetof(struct ipv6hdr, daddr);
		sip_absorb(&s, sip_word(dst));
		sip_absorb(&s, sip_word(dst + 8));
	} else {
		dst = p + IP_OFF + offsetof(struct iphdr, daddr);
		sip_absorb(&s, 0);
		sip_absorb(&s, sip_words(0xffff, bpf_ntohl(*(__be32 *)dst)));
	}
	p = payload_at(p, off);
	for (i = 0; i < HELLO_WORDS && len >= 8; i++) {
		OPAQUE(p);
		if (p + 8 > (__u8 *)end)
			return 0;
		w = sip_word(p);
		if (i == HELLO_TAG / 8)
			tag = w;
		else
			sip_absorb(&s, w);
		p += 8;
		len -= 8;
	}
	/* Source and destination are there and the tag is not. */
	sip_absorb(&s, ((__u64)(i * 8 + 32 - 8) & 0xff) << 56);
	return sip_end(&s) == tag;
}

/* Whether a hello is newer than all that is known of its source: an enum reject. */
static __always_inline int check_hello(const struct event *ev, const struct peer_val *p, const struct role *r,
				       const struct seen *s)
{
	if (has_no_address(ev->src))
		return REJECT_REPLAY;
	if (!p)
		return ev->counter > READ_ONCE(s->highest) && ev->counter > READ_ONCE(r->own_sent) ? REJECT_NONE :
												     REJECT_REPLAY;
	if (ev->counter <= p->hello || ev->counter <= p->number)
		return REJECT_REPLAY;
	return ev->at - p->hello_at < HELLO_AGAIN_NS ? REJECT_RATE_LIMITED : REJECT_NONE;
}

/* Copies the payload. Not inline, so that the type is described for the agent. */
static __noinline int copy_hello(PACKET *ctx, struct hello *h, __u32 off, __u32 len)
{
	void *end = frame_end(ctx);
	__u8 *p = frame(ctx);
	__u32 i;

	if (off > OFF_MAX)
		return 0;
	p = payload_at(p, off);
	for (i = 0; i < HELLO_WORDS; i++) {
		OPAQUE(p);
		if (len < 8 || p + 8 > (__u8 *)end)
			break;
		*(__u64 *)(h->data + i * 8) = *(__u64 *)p;
		p += 8;
		len -= 8;
	}
	return 1;
}

/*
 * Copies a hello into the ring, as long as that leaves most of the room to adverts. It wakes nobody: the agent looks
 * once a second, and whenever it wakes for another reason.
 */
static __always_inline void tell_hello(PACKET *ctx, const struct event *ev, __u32 off, __u32 len)
{
	struct hello *h = begin_hello(ev, ev->ctx, len);

	if (!h)
		return;
	copy_hello(ctx, h, off, len);
	bpf_ringbuf_submit(h, BPF_RB_NO_WAKEUP);
}

/* Judges a hello to one of our source addresses: an enum reject. Global, since it is off the hot path. */
__noinline int judge_hello(PACKET *ctx, struct advert *a, __u32 off, __u32 len)
{
	void *end = frame_end(ctx);
	__u8 *p = frame(ctx);
	__u32 slot, k;
	struct peer_val *peer;
	struct budget *b;
	struct auth *au;
	struct role *r;
	struct seen *s;
	int why;

	if (!a || off > OFF_MAX)
		return REJECT_BAD_LENGTH;
	p = payload_at(p, off);
	OPAQUE(p);
	if (p + HELLO_MIN > (__u8 *)end || len < HELLO_MIN || len > HELLO_MAX || len % 8 ||
	    len != bpf_ntohs(*(__be16 *)(p + 2)))
		return REJECT_BAD_LENGTH;
	a->ev.counter = bpf_be64_to_cpu(*(__u64 *)(p + HELLO_NUMBER));
	/* On the stack: verifiers before 6.2 accept no key from an argument of a global function. */
	slot = a->ev.slot;
	r = role_of(slot);
	s = seen_of(slot);
	b = bpf_map_lookup_elem(&budget, &slot);
	if (!r || !s || !b)
		return REJECT_BAD_TRAILER;
	au = auth_of(slot, r);
	if (!au)
		return REJECT_BAD_TRAILER;
	a->ev.at = boot_now();
	if (!take(&b->hellos, a->ev.at, HELLOS_COST_NS, HELLOS_BURST_NS, 0))
		return REJECT_RATE_LIMITED;
	for (k = 0; k < MAX_CONTEXTS && k < au->n; k++) {
		if (hello_matches(ctx, &au->ctx[k], a, off, len))
			goto right;
	}
	return REJECT_BAD_TRAILER;
right:
	a->ev.ctx = k;
	peer = peer_of(&a->ev);
	why = check_hello(&a->ev, peer, r, s);
	if (why != REJECT_NONE)
		return why;
	know_peer(a, peer, BY_HELLO);
	tell_hello(ctx, &a->ev, off, len);
	return REJECT_NONE;
}

#endif
