/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Adverts with trailers: whether a vipd node sent exactly this one, and whether it is new. The order of the checks
 * makes a flood of any kind cheap: a forged tag and a replay cost no digest, and what costs one can only be sent by a
 * node with the key. See docs/authentication.md.
 */
#ifndef VIPD_PROVE_H
#define VIPD_PROVE_H

#include "claim.h"
#include "judged.h"
#include "stats.h"
#include "trailer.h"
#include "twice.h"

/*
 * How far the numbers of a peer may fall behind the time: three intervals, a second, and a quarter of the time, since
 * programs that set a clock slow it down or speed it up by up to a twelfth.
 */
#define NUMBER_SLACK_US 1000000
#define NUMBER_SLACK_INTERVALS 3
#define INTERVAL_UNKNOWN_US 1000000 /* of a peer that was stored, or said hello or goodbye only */

/* How far a number may be below the highest one of the group: adverts cross, and two families overtake each other. */
#define NUMBER_CROSSING_US 100000

/* Takes what a trailer says. Without one the advert is an ordinary one. */
static __always_inline void read_trailer(struct advert *a, const struct trailer *t)
{
	if (t->first_be != bpf_htons(TRAILER_FIRST))
		return;
	a->proof = PROOF_CLAIMED;
	a->ev.beat = bpf_ntohs(t->beat_be);
	a->flags = bpf_ntohs(t->flags_be);
	a->tag = tag_of(t);
}

/* Whether the tag is right under a context. Global: verified once. */
__noinline int tag_matches(const struct auth_context *c, const struct advert *a)
{
	struct sip s;

	if (!c || !a || !c->trailers)
		return 0;
	sip_begin(&s, c->trailer_key);
	sip_absorb(&s, __builtin_bswap64((__u64)TRAILER_FIRST << 48 | (__u64)a->ev.beat << 32 |
					 (__u64)a->ev.vhid << 24 | (__u64)a->ev.advbase << 16 |
					 (__u64)a->ev.advskew << 8 | a->ev.demote));
	sip_absorb(&s, sip_word(a->ev.src));
	sip_absorb(&s, sip_word(a->ev.src + 8));
	sip_absorb(&s, __builtin_bswap64(a->ev.counter));
	sip_absorb(&s, sip_words(a->md.w[0], a->md.w[1]));
	sip_absorb(&s, sip_words(a->md.w[2], a->md.w[3]));
	sip_absorb(&s, sip_words(a->md.w[4], (__u32)a->flags << 16));
	sip_absorb(&s, 56ull << 56);
	return sip_end(&s) == a->tag;
}

/* 0.0.0.0 or "::", from which several nodes may send, so that nothing is known of it. */
static __always_inline int has_no_address(const __u8 *src)
{
	const __u32 *w = (const __u32 *)src;

	return !w[0] && !w[1] && (!w[2] || w[2] == bpf_htonl(0xffff)) && !w[3];
}

static __always_inline void sender_of(struct source_key *key, const struct event *ev)
{
	key->slot = ev->slot;
	__builtin_memcpy(key->src, ev->src, sizeof(key->src));
}

static __always_inline struct peer_val *peer_of(const struct event *ev)
{
	struct source_key key;

	if (has_no_address(ev->src))
		return 0;
	sender_of(&key, ev);
	return bpf_map_lookup_elem(&peers, &key);
}

/*
 * The number that a peer would send now, at least. Those that came late do not make it lower, or each of a sequence
 * could be later than the one before. Shifts spare a division.
 */
static __always_inline __u64 expected(const struct peer_val *p, __u64 now)
{
	/* Another CPU may have received the last one later. */
	return now > p->at ? p->pace + ((now - p->at) >> 10) - ((now - p->at) >> 12) : p->pace;
}

/*
 * Whether the number of a known peer rose, and as fast as time did: it may have sent, and somebody may have kept, what
 * did not reach us.
 */
static __always_inline int is_fresh(const struct event *ev, const struct peer_val *p)
{
	__u64 interval = p->interval_us ? p->interval_us : INTERVAL_UNKNOWN_US;
	__u64 slack = interval * NUMBER_SLACK_INTERVALS + NUMBER_SLACK_US;

	return ev->counter > p->number && ev->counter + slack >= expected(p, ev->at);
}

#define STRANGER_AGAIN_NS 3000000000ull /* between two reports of a peer with another list; the period of hellos */

/* What a peer proved itself by. */
enum proved_by {
	BY_ADVERT,
	BY_NUMBER, /* an advert that does not count, since it is for another list of addresses */
	BY_HELLO,
};

/*
 * Makes an entry for a source that has proven itself. The time of one for which the map has no room is kept instead:
 * see lacks_trailer(). Until there is room its numbers are held to the highest one of the group, like those of a source
 * that is new.
 */
static __always_inline struct peer_val *add_peer(const struct event *ev)
{
	struct peer_val fresh = {};
	struct group_stats *st;
	struct source_key key;
	struct role *r;
	struct seen *s;

	if (has_no_address(ev->src))
		return 0;
	fresh.number = ev->counter;
	fresh.pace = ev->counter;
	fresh.at = ev->at;
	sender_of(&key, ev);
	if (!bpf_map_update_elem(&peers, &key, &fresh, BPF_ANY))
		return bpf_map_lookup_elem(&peers, &key);
	bpf_map_delete_elem(&sources, &key);
	r = role_of(key.slot);
	s = seen_of(key.slot);
	if (r && s) {
		*(volatile __u64 *)&s->no_room_at = ev->at;
		*(volatile __u64 *)&r->doubted = ev->at;
	}
	st = group_counters(key.slot);
	if (st)
		st->no_room++;
	return 0;
}

/* Takes room in the ring for what is told of the sender of a hello, as long as that leaves most of it to adverts. */
static __always_inline struct hello *begin_hello(const struct event *ev, __u8 ctx, __u16 len)
{
	struct hello *h;

	if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > CLAIM_ROOM)
		return NULL;
	h = bpf_ringbuf_reserve(&events, sizeof(*h), 0);
	if (!h)
		return NULL;
	h->at = ev->at;
	h->ifindex = ev->ifindex;
	h->slot = ev->slot;
	__builtin_memcpy(h->src, ev->src, sizeof(h->src));
	__builtin_memcpy(h->src_mac, ev->src_mac, sizeof(h->src_mac));
	h->vhid = ev->vhid;
	h->ctx = ctx;
	h->len = len;
	h->pad = 0;
	h->pad2 = 0;
	return h;
}

/*
 * Tells the agent of a peer whose adverts do not count here, unless its hellos do. It is woken: the advert has just
 * shown switches where the virtual MAC is.
 */
static __always_inline void tell_stranger(const struct event *ev, struct peer_val *p)
{
	__u64 last = p->told_at > p->hello_at ? p->told_at : p->hello_at;
	struct hello *h;

	if (last && ev->at - last < STRANGER_AGAIN_NS)
		return;
	h = begin_hello(ev, 0, 0);
	if (!h)
		return;
	p->told_at = ev->at;
	*(__u64 *)h->data = ev->counter;
	bpf_ringbuf_submit(h, BPF_RB_FORCE_WAKEUP);
}

/*
 * Notes what a source has proven, p being what was known of it. Global: it has a stack of its own beside that of the
 * hash.
 */
__noinline int know_peer(struct advert *a, struct peer_val *p, __u32 by)
{
	int goodbye;
	__u64 pace;

	if (!a)
		return 0;
	if (!p)
		p = add_peer(&a->ev);
	if (!p)
		return 0;
	if (by == BY_HELLO) {
		p->hello = a->ev.counter;
		p->hello_at = a->ev.at;
		return 1;
	}
	pace = expected(p, a->ev.at);
	p->number = a->ev.counter;
	p->pace = pace > a->ev.counter ? pace : a->ev.counter;
	p->at = a->ev.at;
	if (by == BY_NUMBER) {
		tell_stranger(&a->ev, p);
		return 1;
	}
	goodbye = a->ev.advbase == GOODBYE && a->ev.advskew == GOODBYE;
	if (!goodbye)
		p->interval_us = interval_us(a->ev.advbase, a->ev.advskew);
	if (a->ev.demote)
		p->flags = SOURCE_DEMOTE_EVER;
	if (p->flags)
		a->ev.flags |= EVENT_DEMOTE_EVER;
	return 1;
}

/*
 * Whether an advert whose tag is right came back from us or was heard before: an enum reject. p is what is known of its
 * source.
 */
static __always_inline int check_number(struct advert *a, const struct peer_val *p, const struct role *r,
					const struct seen *s)
{
	__u64 top = READ_ONCE(s->highest), sent = READ_ONCE(r->own_sent), number = a->ev.counter;

	if (is_loop(a, r))
		return REJECT_LOOP;
	if (top < sent)
		top = sent;
	/* Nothing is known of a new source, nor of no address. */
	if (!p && number <= top)
		return REJECT_REPLAY;
	if (number <= READ_ONCE(r->own_number) && !has_no_address(a->ev.src) && is_own_source(r, a->ev.src))
		return REJECT_REPLAY;
	if (p && (number + NUMBER_CROSSING_US <= top || !is_fresh(&a->ev, p)))
		return REJECT_REPLAY;
	return REJECT_NONE;
}

/*
 * Judges an advert with a trailer: REJECT_BAD_TRAILER if its tag is right under no context, otherwise the final
 * verdict. Several contexts may have one password and different addresses. Global, like its callees.
 */
__noinline int prove(struct advert *a)
{
	__u32 k, slot, found = 0;
	struct peer_val *p = 0;
	struct auth *au;
	struct role *r;
	struct seen *s;
	int why;

	if (!a)
		return REJECT_BAD_TRAILER;
	/* On the stack: verifiers before 6.2 accept no key from an argument of a global function. */
	slot = a->ev.slot;
	r = role_of(slot);
	s = seen_of(slot);
	if (!r || !s)
		return REJECT_BAD_TRAILER;
	au = auth_of(slot, r);
	if (!au)
		return REJECT_BAD_TRAILER;
	for (k = 0; k < MAX_CONTEXTS && k < au->n; k++) {
		if (!tag_matches(&au->ctx[k], a))
			continue;
		if (!found) {
			found = 1;
			a->ev.at = boot_now();
			if (is_taken(&a->ev, s)) {
				a->proof = PROOF_VALID;
				return REJECT_NONE;
			}
			p = peer_of(&a->ev);
			why = check_number(a, p, r, s);
			if (why != REJECT_NONE)
				return why;
		}
		if (digest_matches(&au->ctx[k], a->ev.counter, &a->md)) {
			a->ev.ctx = k;
			a->proof = PROOF_VALID;
			a->ev.flags |= a->ev.demote ? EVENT_PROVEN | EVENT_DEMOTE_EVER : EVENT_PROVEN;
			know_peer(a, p, BY_ADVERT);
			return REJECT_NONE;
		}
	}
	if (!found)
		return REJECT_BAD_TRAILER;
	/* A node with the key sent it: its number is spent, so that a copy costs no digest, and it needs a trailer. */
	know_peer(a, p, BY_NUMBER);
	return REJECT_BAD_HMAC;
}

/* When a peer last proved itself for which there was no room, as far as the operator has not said to forget it. */
static __always_inline __u64 no_room_at(const struct role *r, const struct seen *s)
{
	__u64 at = READ_ONCE(s->no_room_at), stored = READ_ONCE(r->no_room_at);

	if (at <= READ_ONCE(r->forgotten_at))
		at = 0;
	return at > stored ? at : stored;
}

/*
 * Whether an advert without a trailer can only be forged: its source is one of ours, or has proven itself to be a vipd
 * node. If there was no room for one that did, that may be any source that is not known to send none.
 */
static __always_inline int lacks_trailer(const struct advert *a)
{
	const struct role *r = role_of(a->ev.slot);
	const struct seen *s = seen_of(a->ev.slot);
	const struct peer_val *p;
	struct source_key key;
	__u64 now, at;

	if (!r || !s || has_no_address(a->ev.src))
		return 0;
	if (a->rules & GROUP_TRAILERS && is_own_source(r, a->ev.src))
		return 1;
	sender_of(&key, &a->ev);
	p = bpf_map_lookup_elem(&peers, &key);
	if (p) {
		at = p->at > p->hello_at ? p->at : p->hello_at;
	} else {
		at = no_room_at(r, s);
		if (!at || bpf_map_lookup_elem(&sources, &key))
			return 0;
	}
	now = recently();
	return !a->memory_s || now <= at || now - at < a->memory_s * 1000000000ull;
}

#endif
