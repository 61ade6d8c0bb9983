/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who may make us compute a digest, and how often. Token buckets per CPU, kept as the time up to
 * which tokens are spent. Class 1 is what looks like the next advert of the last good source: a
 * flood of anything else cannot touch its reserve. Class 2 is all else. When class 1 is used up, by who
 * follows the counters on the wire, an advert under a seal needs no token: see vouched() in accept.h.
 */
#ifndef VIPD_BUDGET_H
#define VIPD_BUDGET_H

#include "parse.h"
#include "role.h"

#define CLASS1_COST_NS 10000ull	      /* 100,000 digests a second */
#define CLASS1_BURST_NS 100000000ull  /* 10,000 at once */
#define CLASS1_KEPT_NS 50000000ull    /* of them 5,000 that are not lent: see charge() */
#define CLASS2_COST_NS 20000000ull    /* 50 adverts a second */
#define CLASS2_BURST_NS 1000000000ull /* 50 at once */
#define LIMITED_GRAIN_NS 1000000ull /* or a tick, if that is more */

/*
 * How far ahead of the last counter the next few adverts of a source may be. That of a sealed one is in
 * the upper half, and rises with every advert of the node, of whatever group.
 */
#define COUNTER_WINDOW 8
#define SEQUENCE_WINDOW 65536

/* Where the next token begins: no more than a burst is ever saved up. */
static __always_inline __u64 next_token(__u64 spent, __u64 now, __u64 burst)
{
	__u64 floor = now > burst ? now - burst : 0;

	return spent < floor ? floor : spent;
}

/* Takes a token, if as much as is to be kept stays behind. */
static __always_inline int take(__u64 *spent, __u64 now, __u64 cost, __u64 burst, __u64 kept)
{
	__u64 at = next_token(*spent, now, burst);

	if (at + cost + kept > now)
		return 0;
	*spent = at + cost;
	return 1;
}

/*
 * Unlocked reads of the record: a torn one can only misjudge the class of a single advert. The
 * record is of an authentic advert, so a forger cannot keep class 1 from being silent.
 */
static __always_inline int in_class1(const struct seen *s, const __u8 *src, __u64 counter)
{
	__u32 seq = counter >> 32, last = s->counter >> 32;

	if (!s->at || !same_addr(s->src, src))
		return 0;
	return counter - s->counter <= COUNTER_WINDOW ||
	       (s->flags & EVENT_SEALED && seq - last <= SEQUENCE_WINDOW);
}

/* Whether the last good source has missed its interval, said goodbye, or never was. */
static __always_inline int class1_silent(const struct seen *s, __u64 now)
{
	__u8 base = s->advbase, skew = s->advskew;

	if (!s->at || (base == GOODBYE && skew == GOODBYE))
		return 1;
	return now > s->at + interval_us(base, skew) * 1000ull;
}

/*
 * Pays for one advert (first) or for one further context. 0: the budget is spent. While class 1 is silent it
 * lends to class 2, for the next master, but never its last: a master that is a moment late is silent too, and
 * a flood of strangers would have emptied class 1 when it speaks.
 */
static __always_inline int charge(struct budget *b, const struct seen *s, int class1, int first,
				  __u64 now)
{
	if (class1)
		return take(&b->class1, now, CLASS1_COST_NS, CLASS1_BURST_NS, 0);
	/* One token of class 2 buys all contexts: 50 adverts a second must mean 50 adverts. */
	if (!first || take(&b->class2, now, CLASS2_COST_NS, CLASS2_BURST_NS, 0))
		return 1;
	return class1_silent(s, now) &&
	       take(&b->class1, now, CLASS1_COST_NS, CLASS1_BURST_NS, CLASS1_KEPT_NS);
}

/* Whether charge() would let a first digest of class 2 pass. */
static __always_inline int affordable(const struct budget *b, const struct seen *s, __u64 now)
{
	if (next_token(b->class2, now, CLASS2_BURST_NS) + CLASS2_COST_NS <= now)
		return 1;
	return class1_silent(s, now) &&
	       next_token(b->class1, now, CLASS1_BURST_NS) + CLASS1_COST_NS + CLASS1_KEPT_NS <= now;
}

/* Tells the agent that silence is no evidence just now. Signed: another CPU may have read the clock later. */
static __always_inline void note_limited(struct seen *s, __u64 now)
{
	if ((__s64)(now - READ_ONCE(s->limited_at)) > (__s64)LIMITED_GRAIN_NS)
		s->limited_at = now;
}

#endif
