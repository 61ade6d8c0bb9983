/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an authentic advert does: own or foreign, record, yield, event. */
#ifndef VIPD_ACCEPT_H
#define VIPD_ACCEPT_H

#include "auth.h"
#include "budget.h"
#include "parse.h"
#include "replay.h"
#include "role.h"
#include "stats.h"
#include "twice.h"

/* An advert on its way through the checks. ev is what goes into record and ring. */
struct advert {
	struct event ev;
	struct digest md;
	__u32 prio;  /* as role.sent_prio */
	__u32 rules; /* GROUP_* */
	__u32 seal;  /* enum seal */
};

_Static_assert(sizeof(struct advert) == sizeof(((struct scratch *)0)->advert), "advert");

/*
 * A blank one. Not on the stack: together with what lies under the hash that would be more than older
 * kernels allow, see TestStackDepth in loader/.
 */
static __always_inline struct advert *blank_advert(void)
{
	__u32 zero = 0;
	struct scratch *s = bpf_map_lookup_elem(&scratch, &zero);

	if (!s)
		return 0;
	__builtin_memset(s->advert, 0, sizeof(s->advert));
	return (struct advert *)s->advert;
}

/* What the counter says under a context: most have no seals, and save the call. */
static __always_inline int seal_of(const struct auth_context *c, const struct advert *a)
{
	return c->sealed ? open_seal(c, &a->ev) : SEAL_NONE;
}

/*
 * Whether an advert of class 1 is worth a digest that the budget does not pay for any more: under the seal
 * of the last good source, and newer than its last. Nobody else can make one, so that a flood which follows
 * the master's counter uses up what is there for counters, and starves no master that seals.
 */
static __always_inline int vouched(const struct auth_context *c, const struct advert *a,
				   const struct seen *s)
{
	return s->flags & EVENT_SEALED &&
	       sequence_rises(s->counter >> 32, a->ev.counter >> 32) &&
	       seal_of(c, a) == SEAL_VALID;
}

/*
 * Whether a digest will be paid for, as far as can be told without a look at the clock: a flood of strangers
 * is not worth one, nor a call. The next token is noticed a tick late.
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

/* Whether the digest is right, and may be computed at all: an enum reject. Global, as its callee. */
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
	/* On the stack: verifiers before 6.2 take no key from a global function's argument. */
	slot = a->ev.slot;
	r = role_of(slot);
	s = seen_of(slot);
	b = bpf_map_lookup_elem(&budget, &slot);
	/* Cannot happen: a slot in the groups map is within all of these. */
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
		/* The same once more, for verifiers that lose a bound in impossible branches (6.1). */
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
 * Compares with what we sent last. 1: a loop, an advert of ours in every part. Otherwise notes
 * whether the counter is one of ours: FreeBSD, NetBSD and ucarp adopt a peer's counter and go on
 * from there, so that is suspect but ordinary.
 */
static __always_inline int is_loop(struct advert *a, const struct role *r)
{
	int i;

#pragma unroll
	for (i = 0; i < MAX_SENT; i++) {
		const struct sent *sent = &r->sent[i];

		/* An entry that was never filled has no digest of ours. */
		if (READ_ONCE(sent->counter) != a->ev.counter || !same_digest(sent->digest, a->md.w))
			continue;
		if (sent->prio == a->prio && is_own_source(r, a->ev.src))
			return 1;
		a->ev.flags |= EVENT_OWN_COUNTER;
	}
	return 0;
}

/* Seals are looked at always, counters where the group wants it. */
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
 * Whether a source understands the demote byte, as OpenBSD does. Its counter is a constant cookie until it
 * boots: it has been seen to stay since it last changed, or the source has sent a non-zero byte and it has
 * never been seen to change. A sealed one is none. Without the first half a node that is demoted, and still has the better skew, and an
 * OpenBSD that takes over for it, with a byte of 0, would be two masters for ever. A vipd node does not
 * count: beside a peer that ignores the byte, two that obey it would preempt in a circle. Agent
 * and kernel must agree on this, hence it is decided here and told in the event.
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
	/* A frame that was doubled on its way is no second advert. */
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

/* The kernel yields first: before the agent has heard of it, answering is over. */
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
 * Writes the record, and raises the yielded generation if the event says so. Returns whether it rose.
 * Under the lock rather than by compare-and-swap, which the JIT of arm64 has only from 5.18 on.
 */
static __always_inline int record(struct seen *s, const struct event *ev)
{
	int rose = 0;

	bpf_spin_lock(&s->lock);
	if ((ev->flags & EVENT_YIELDED) && s->yielded_gen < ev->generation) {
		s->yielded_gen = ev->generation;
		rose = 1;
	}
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
	return rose;
}

/*
 * Takes in an authentic advert: REJECT_LOOP if it is our own, REJECT_REPLAY if it is one heard before,
 * else record, yield and event. A full
 * ring is counted; record and yield stand all the same. Not one function with authenticate(), since
 * the stack under the hash would not fit; global for the same reason as that one.
 */
__noinline int accept_advert(struct advert *a)
{
	struct source_key key;
	struct source_val *src;
	struct group_stats *st;
	int aware, rose;
	struct event *ev;
	struct role *r;
	struct seen *s;

	if (!a)
		return REJECT_NONE;
	r = role_of(a->ev.slot);
	s = seen_of(a->ev.slot);
	if (!r || !s)
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
	rose = record(s, &a->ev);
	ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (ev) {
		*ev = a->ev;
		bpf_ringbuf_submit(ev, 0);
	}
	st = group_counters(a->ev.slot);
	if (st) {
		st->received++;
		st->contexts[a->ev.ctx & (MAX_CONTEXTS - 1)]++;
		st->yields += rose;
		st->own_counter += !!(a->ev.flags & EVENT_OWN_COUNTER);
		st->events_lost += !ev;
	}
	return REJECT_NONE;
}

#endif
