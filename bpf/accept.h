/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an authentic advert causes: own or foreign, seen entry, yield, event. */
#ifndef VIPD_ACCEPT_H
#define VIPD_ACCEPT_H

#include "authenticate.h"
#include "news.h"
#include "prove.h"
#include "repeat.h"
#include "replay.h"
#include "stats.h"

/*
 * Learns whether a source understands the demote byte, as OpenBSD does. OpenBSD's counter is a constant cookie until it
 * boots. A source counts if its counter has been seen to stay since it last changed, or if it has sent a non-zero byte
 * and its counter has never been seen to change. Without the first half two masters would stay: a demoted node that
 * still has the better skew, and the OpenBSD that takes over from it with a byte of 0. A vipd node does not count:
 * beside a peer that ignores the byte, two nodes that obey it would preempt in a circle. Agent and kernel must agree on
 * this, so it is decided here and told in the event.
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
	if (src) {
		if (src->counter != a->ev.counter)
			src->since = tick;
		learn_counter(src, &a->ev, r, s);
		/* A race with another CPU may lose a bit until the next advert; no atomics on arm64 5.15. */
		if (flags != READ_ONCE(src->flags))
			src->flags = flags;
	} else {
		fresh.counter = a->ev.counter;
		fresh.since = tick;
		fresh.flags = flags;
		fresh.interval_us = interval_us(a->ev.advbase, a->ev.advskew);
		bpf_map_update_elem(&sources, key, &fresh, BPF_ANY);
	}
	if (flags & SOURCE_DEMOTE_EVER)
		a->ev.flags |= EVENT_DEMOTE_EVER;
	if (flags & SOURCE_COUNTER_STAYS ||
	    (flags & (SOURCE_DEMOTE_EVER | SOURCE_COUNTER_VARIES)) == SOURCE_DEMOTE_EVER)
		a->ev.flags |= EVENT_DEMOTE_AWARE;
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
 * NEWS. of is the advert whose repetitions are withheld, span that of news.h. It uses the lock, not
 * compare-and-swap, which the JIT of arm64 has only from 5.18 on.
 */
static __always_inline int record(struct seen *s, struct role *r, struct heard *h, const struct event *ev,
				  __u64 of, __u64 span)
{
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
		s->beat = ev->beat;
	}
	if (ev->flags & EVENT_PROVEN && ev->counter > s->highest)
		s->highest = ev->counter;
	*(volatile __u64 *)&r->noted = s->count;
	bpf_spin_unlock(&s->lock);
	return came;
}

/*
 * Whether an ordinary advert is old: an enum reject. If not, it has taught us about its source; aware is set if that
 * obeys the demote byte.
 */
static __always_inline int ordinary(struct advert *a, const struct role *r, const struct seen *s, int *aware)
{
	struct source_key key;
	struct source_val *src;

	if (is_loop(a, r))
		return REJECT_LOOP;
	key.slot = a->ev.slot;
	__builtin_memcpy(key.src, a->ev.src, sizeof(key.src));
	src = bpf_map_lookup_elem(&sources, &key);
	if (a->rules & GROUP_STRICT_REPLAY && src && strict_replay(&a->ev, src, r, s))
		return REJECT_REPLAY;
	*aware = learn_source(a, &key, src, r, s);
	return REJECT_NONE;
}

/*
 * Processes an authentic advert. REJECT_LOOP or REJECT_REPLAY if it is an ordinary one that is old; otherwise it
 * updates the seen entry, yields and, if it is news, emits an event. A full ring is counted; seen entry and
 * yield are not affected. It is not one function with authenticate(), since the stack below the hash would not
 * fit; it is global for the same reason as that one.
 */
__noinline int accept_advert(struct advert *a)
{
	struct group_stats *st;
	struct event *ev = 0;
	int aware = 0, backup, came, why;
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
	if (a->proof != PROOF_VALID) {
		why = ordinary(a, r, s, &aware);
		if (why != REJECT_NONE)
			return why;
	}
	if (must_yield(a, r, aware))
		a->ev.flags |= EVENT_YIELDED;
	backup = (READ_ONCE(r->role_gen) & ROLE_MASK) == ROLE_BACKUP;
	came = record(s, r, h, &a->ev, settled(r, family), news_span(&a->ev, backup));
	if (came & NEWS)
		ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (ev) {
		*ev = a->ev;
		/* The agent may not yet have read a hello before it, which woke nobody. */
		bpf_ringbuf_submit(ev, BPF_RB_FORCE_WAKEUP);
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
