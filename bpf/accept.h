/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an authentic advert causes: own or foreign, seen entry, yield, event. */
#ifndef VIPD_ACCEPT_H
#define VIPD_ACCEPT_H

#include "auth.h"
#include "budget.h"
#include "news.h"
#include "parse.h"
#include "repeat.h"
#include "replay.h"
#include "role.h"
#include "stats.h"
#include "twice.h"

/* An advert during the checks. ev goes into the seen entry and the ring. */
struct advert {
	struct event ev;
	struct digest md;
	__u32 prio;  /* like role.sent_prio */
	__u32 rules; /* GROUP_* */
	__u32 seal;  /* enum seal */
};

_Static_assert(sizeof(struct advert) == sizeof(((struct scratch *)0)->advert), "advert");

/*
 * Returns the scratch of this CPU; 0 while a program that this one interrupted is using it. It needs no atomic
 * operation: of two programs on one CPU the later one ends first.
 */
static __always_inline struct scratch *take_scratch(void)
{
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&scratch, &zero);

	if (!s || READ_ONCE(s->busy))
		return 0;
	*(volatile __u64 *)&s->busy = 1;
	return s;
}

static __always_inline void give_scratch(struct scratch *s)
{
	asm volatile("" ::: "memory");
	*(volatile __u64 *)&s->busy = 0;
}

/*
 * Returns a zeroed advert. It is not on the stack: together with the stack below the hash it would exceed what
 * older kernels allow, see TestStackDepth in loader/object/.
 */
static __always_inline struct advert *blank_advert(struct scratch *s)
{
	__builtin_memset(s->advert, 0, sizeof(s->advert));
	return (struct advert *)s->advert;
}

/* What the counter is under a context: most have no seals and need no call. */
static __always_inline int seal_of(const struct auth_context *c, const struct advert *a)
{
	return c->sealed ? open_seal(c, &a->ev) : SEAL_NONE;
}

/*
 * Whether an advert of class 1 is worth a digest beyond the budget: it has the seal of the last good source, and
 * is newer than its last. No other node can make such a seal, so a flood that follows the master's counter uses
 * up the budget for counters but starves no master that seals.
 */
static __always_inline int vouched(const struct auth_context *c, const struct advert *a,
				   const struct seen *s)
{
	return s->flags & EVENT_SEALED &&
	       sequence_rises(s->counter >> 32, a->ev.counter >> 32) &&
	       seal_of(c, a) == SEAL_VALID;
}

/*
 * Whether the budget may pay for a digest, as far as that is known without reading the clock: a flood from
 * unknown sources is not worth a reading, nor a call. The next token is noticed a tick late.
 */
static __always_inline int worth_a_digest(const struct advert *a)
{
	__u32 slot = a->ev.slot;
	struct seen *s = seen_of(slot);
	struct budget *b = bpf_map_lookup_elem(&budget, &slot);
	__u64 now;

	if (!s || !b || in_class1(s, a->ev.src, a->ev.counter))
		return 1;
	now = recently();
	if (affordable(b, s, now))
		return 1;
	note_limited(s, now);
	return 0;
}

/* Whether the digest may be computed and is correct: an enum reject. Global, like its callee. */
__noinline int authenticate(struct advert *a)
{
	__u32 i, k, n, first, live, slot, unpaid = 0;
	struct budget *b;
	struct auth *au;
	struct role *r;
	struct seen *s;
	int class1;

	if (!a)
		return REJECT_BAD_HMAC;
	/* On the stack: verifiers before 6.2 accept no key from an argument of a global function. */
	slot = a->ev.slot;
	r = role_of(slot);
	s = seen_of(slot);
	b = bpf_map_lookup_elem(&budget, &slot);
	/* Cannot happen: all these maps have every slot of the groups map. */
	if (!r || !s || !b)
		return REJECT_BAD_HMAC;
	live = slot * 2 + (READ_ONCE(r->auth_index) & 1);
	au = bpf_map_lookup_elem(&auth, &live);
	if (!au)
		return REJECT_BAD_HMAC;
	class1 = in_class1(s, a->ev.src, a->ev.counter);
	a->ev.at = boot_now();
	n = au->n;
	first = s->ctx; /* the last good one */
	if (first >= n)
		first = 0;
	for (i = 0; i < MAX_CONTEXTS && i < n; i++) {
		k = first + i;
		if (k >= n)
			k -= n;
		if (k >= MAX_CONTEXTS)
			break;
		/* Once more, for verifiers that lose a bound in impossible branches (6.1). */
		OPAQUE(k);
		k &= MAX_CONTEXTS - 1;
		if (!charge(b, s, class1, i == 0, a->ev.at) &&
		    !(class1 && vouched(&au->ctx[k], a, s))) {
			unpaid = 1;
			if (class1)
				continue;
			break;
		}
		if (digest_matches(&au->ctx[k], a->ev.counter, &a->md)) {
			a->ev.ctx = k;
			a->seal = seal_of(&au->ctx[k], a);
			return REJECT_NONE;
		}
	}
	if (!unpaid)
		return REJECT_BAD_HMAC;
	note_limited(s, a->ev.at);
	return REJECT_RATE_LIMITED;
}

static __always_inline int is_own_source(const struct role *r, const __u8 *src)
{
	__u64 n = READ_ONCE(r->n_src), i;

#pragma unroll
	for (i = 0; i < MAX_OWN_SOURCES; i++) {
		if (i < n && same_addr(r->src[i], src))
			return 1;
	}
	return 0;
}

static __always_inline int same_digest(const __u32 *a, const __u32 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4];
}

/*
 * Compares with what we sent last. 1: a loop, an advert of ours in every part. Otherwise notes whether the
 * counter is one of ours: FreeBSD, NetBSD and ucarp adopt a peer's counter and continue from it, so that is
 * suspect but normal.
 */
static __always_inline int is_loop(struct advert *a, const struct role *r)
{
	int i;

#pragma unroll
	for (i = 0; i < MAX_SENT; i++) {
		const struct sent *sent = &r->sent[i];

		/* An unused entry has no digest of ours. */
		if (READ_ONCE(sent->counter) != a->ev.counter || !same_digest(sent->digest, a->md.w))
			continue;
		if (sent->prio == a->prio && is_own_source(r, a->ev.src))
			return 1;
		a->ev.flags |= EVENT_OWN_COUNTER;
	}
	return 0;
}

/* Seals are always checked, counters only if the group demands it. */
static __always_inline int is_replay(const struct advert *a, struct source_val *src,
				     const struct role *r, const struct seen *s)
{
	if (a->seal == SEAL_BROKEN)
		return 1;
	if (a->seal == SEAL_VALID)
		return sealed_replay(&a->ev, src, r, is_own_source(r, a->ev.src));
	if (a->rules & GROUP_REQUIRE_SEAL)
		return 1;
	return a->rules & GROUP_STRICT_REPLAY && src && strict_replay(&a->ev, src, r, s);
}

/*
 * Learns whether a source understands the demote byte, as OpenBSD does. OpenBSD's counter is a constant cookie until it
 * boots. A source counts if its counter has been seen to stay since it last changed, or if it has sent a non-zero byte
 * and its counter has never been seen to change; a source of sealed adverts never does. Without the first half two
 * masters would stay: a demoted node that still has the better skew, and the OpenBSD that takes over from it with a
 * byte of 0. A vipd node does not count: beside a peer that ignores the byte, two nodes that obey it would preempt in a
 * circle. Agent and kernel must agree on this, so it is decided here and told in the event.
 */
static __always_inline int learn_source(struct advert *a, const struct source_key *key,
					struct source_val *src, const struct role *r,
					const struct seen *s)
{
	struct source_val fresh = {};
	__u32 flags = src ? READ_ONCE(src->flags) : 0;
	__u16 tick = a->ev.at >> SOURCE_TICK;

	if (a->ev.demote)
		flags |= SOURCE_DEMOTE_EVER;
	if (src && src->counter != a->ev.counter)
		flags = (flags | SOURCE_COUNTER_VARIES) & ~SOURCE_COUNTER_STAYS;
	/* A duplicated frame is not a second advert. */
	else if (src && (__u16)(tick - src->since) >= 2)
		flags |= SOURCE_COUNTER_STAYS;
	if (a->seal == SEAL_VALID)
		flags = (flags | SOURCE_SEALED | SOURCE_COUNTER_VARIES) & ~SOURCE_COUNTER_STAYS;
	if (src) {
		if (src->counter != a->ev.counter)
			src->since = tick;
		learn_counter(src, &a->ev, r, s);
		if (a->seal == SEAL_VALID)
			src->seq = a->ev.counter >> 32;
		/* A race with another CPU may lose a bit until the next advert; no atomics on arm64 5.15. */
		if (flags != READ_ONCE(src->flags))
			src->flags = flags;
	} else {
		fresh.counter = a->ev.counter;
		fresh.since = tick;
		fresh.flags = flags;
		fresh.seq = a->ev.counter >> 32;
		fresh.interval_us = interval_us(a->ev.advbase, a->ev.advskew);
		bpf_map_update_elem(&sources, key, &fresh, BPF_ANY);
	}
	if (flags & SOURCE_DEMOTE_EVER)
		a->ev.flags |= EVENT_DEMOTE_EVER;
	if (flags & SOURCE_COUNTER_STAYS ||
	    (flags & (SOURCE_DEMOTE_EVER | SOURCE_COUNTER_VARIES)) == SOURCE_DEMOTE_EVER)
		a->ev.flags |= EVENT_DEMOTE_AWARE;
	if (a->seal == SEAL_VALID)
		a->ev.flags |= EVENT_SEALED;
	return a->ev.flags & EVENT_DEMOTE_AWARE;
}

/* The kernel yields first: answering ends before the agent knows. */
static __always_inline int must_yield(struct advert *a, const struct role *r, int aware)
{
	__u64 role_gen = READ_ONCE(r->role_gen), now = a->ev.at;

	a->ev.generation = role_gen >> ROLE_SHIFT;
	if ((role_gen & ROLE_MASK) != ROLE_MASTER)
		return 0;
	if (now >= READ_ONCE(r->lease) && now >= READ_ONCE(r->send_until))
		return 1;
	return superior(a->ev.advbase, a->ev.advskew, a->ev.demote, READ_ONCE(r->sent_prio), aware);
}

/*
 * Writes the seen entry, and raises the yielded generation if the event demands it. Returns the result: ROSE,
 * NEWS. of is the advert whose repetitions are withheld. It uses the lock, not compare-and-swap, which the JIT of
 * arm64 has only from 5.18 on.
 */
static __always_inline int record(struct seen *s, struct heard *h, const struct event *ev, __u64 of)
{
	__u64 span = news_span(ev);
	int came = 0;

	bpf_spin_lock(&s->lock);
	if ((ev->flags & EVENT_YIELDED) && s->yielded_gen < ev->generation) {
		s->yielded_gen = ev->generation;
		came = ROSE | NEWS;
	}
	if (!came && repeats(h, ev, of))
		note_repeated(h, ev);
	else if (is_news(s, ev, span))
		came |= NEWS;
	if (came & NEWS)
		note_told(h, ev);
	s->count++;
	if (ev->at >= s->at) {
		s->ifindex = ev->ifindex;
		s->at = ev->at;
		s->generation = ev->generation;
		s->counter = ev->counter;
		__builtin_memcpy(s->src, ev->src, sizeof(s->src));
		__builtin_memcpy(s->src_mac, ev->src_mac, sizeof(s->src_mac));
		s->vhid = ev->vhid;
		s->advbase = ev->advbase;
		s->advskew = ev->advskew;
		s->demote = ev->demote;
		s->ttl = ev->ttl;
		s->ctx = ev->ctx;
		s->flags = ev->flags;
	}
	bpf_spin_unlock(&s->lock);
	return came;
}

/*
 * Processes an authentic advert: REJECT_LOOP if it is our own, REJECT_REPLAY if it was heard before; otherwise
 * it updates the seen entry, yields and, if it is news, emits an event. A full ring is counted; seen entry and
 * yield are not affected. It is not one function with authenticate(), since the stack below the hash would not
 * fit; it is global for the same reason as that one.
 */
__noinline int accept_advert(struct advert *a)
{
	struct source_key key;
	struct source_val *src;
	struct group_stats *st;
	struct event *ev = 0;
	int aware, came;
	struct heard *h;
	struct role *r;
	struct seen *s;
	__u32 family;

	if (!a)
		return REJECT_NONE;
	family = family_of(a->ev.src);
	r = role_of(a->ev.slot);
	s = seen_of(a->ev.slot);
	h = heard_of(a->ev.slot, family);
	if (!r || !s || !h)
		return REJECT_NONE;
	if (is_taken(&a->ev, s))
		return REJECT_NONE;
	if (is_loop(a, r))
		return REJECT_LOOP;
	key.slot = a->ev.slot;
	__builtin_memcpy(key.src, a->ev.src, sizeof(key.src));
	src = bpf_map_lookup_elem(&sources, &key);
	if (is_replay(a, src, r, s))
		return REJECT_REPLAY;
	aware = learn_source(a, &key, src, r, s);
	if (must_yield(a, r, aware))
		a->ev.flags |= EVENT_YIELDED;
	came = record(s, h, &a->ev, settled(r, family));
	if (came & NEWS)
		ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (ev) {
		*ev = a->ev;
		bpf_ringbuf_submit(ev, 0);
	}
	st = group_counters(a->ev.slot);
	if (st) {
		st->received++;
		st->contexts[a->ev.ctx & (MAX_CONTEXTS - 1)]++;
		st->yields += !!(came & ROSE);
		st->own_counter += !!(a->ev.flags & EVENT_OWN_COUNTER);
		st->events_lost += came & NEWS && !ev;
	}
	return REJECT_NONE;
}

#endif
