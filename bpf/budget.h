/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Limits how often a sender can make us compute a digest. Token buckets per CPU, kept as the time up to which
 * tokens are spent. Class 1 is for what looks like the next advert of the last good source: a flood of anything
 * else cannot touch its reserve. Class 2 is for everything else. An advert with a valid trailer needs no token, see
 * prove.h.
 */
#ifndef VIPD_BUDGET_H
#define VIPD_BUDGET_H

#include "parse.h"
#include "role.h"

#define CLASS1_COST_NS 10000ull	      /* 100,000 digests a second */
#define CLASS1_BURST_NS 100000000ull  /* 10,000 at once */
#define CLASS1_KEPT_NS 50000000ull    /* 5,000 of them are never lent: see charge() */
#define CLASS2_COST_NS 20000000ull    /* 50 adverts a second */
#define CLASS2_BURST_NS 1000000000ull /* 50 at once */
#define CLAIMS_COST_NS 250000ull      /* 4,000 claims a second, see claim.h */
#define CLAIMS_BURST_NS 1050000000ull /* 4,200 at once: a host may claim all addresses of a group */
#define HELLOS_COST_NS 50000ull	     /* 20,000 hellos a second */
#define HELLOS_BURST_NS 100000000ull /* 2,000 at once */
#define LIMITED_GRAIN_NS 1000000ull /* or a tick, if that is longer */

/* How far ahead of the last counter the next adverts of a source may be. */
#define COUNTER_WINDOW 8

/* Where the next token begins: at most a burst is saved up. */
static __always_inline __u64 next_token(__u64 spent, __u64 now, __u64 burst)
{
	__u64 floor = now > burst ? now - burst : 0;

	return spent < floor ? floor : spent;
}

/* Takes a token if the part to keep remains. */
static __always_inline int take(__u64 *spent, __u64 now, __u64 cost, __u64 burst, __u64 kept)
{
	__u64 at = next_token(*spent, now, burst);

	if (at + cost + kept > now)
		return 0;
	*spent = at + cost;
	return 1;
}

/*
 * Reads the seen entry without its lock: a torn read can only misjudge the class of one advert. The entry is of
 * an authentic advert, so a forger cannot keep class 1 from being silent.
 */
static __always_inline int in_class1(const struct seen *s, const __u8 *src, __u64 counter)
{
	return s->at && same_addr(s->src, src) && counter - s->counter <= COUNTER_WINDOW;
}

/* Whether the last good source missed its interval or said goodbye, or there was none. */
static __always_inline int class1_silent(const struct seen *s, __u64 now)
{
	__u8 base = s->advbase, skew = s->advskew;

	if (!s->at || (base == GOODBYE && skew == GOODBYE))
		return 1;
	return now > s->at + interval_us(base, skew) * 1000ull;
}

/*
 * Pays for one advert (first) or for one further context. 0: the budget is spent. While class 1 is silent it
 * lends to class 2, for the next master, but never its last part: a master that is slightly late is silent too,
 * and a flood from unknown sources would have emptied class 1 when it speaks.
 */
static __always_inline int charge(struct budget *b, const struct seen *s, int class1, int first,
				  __u64 now)
{
	if (class1)
		return take(&b->class1, now, CLASS1_COST_NS, CLASS1_BURST_NS, 0);
	/* One token of class 2 pays for all contexts: 50 adverts per second must mean 50 adverts. */
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

/* Tells the agent that silence proves nothing now. Signed: another CPU may have read the clock later. */
static __always_inline void note_limited(struct seen *s, struct role *r, __u64 now)
{
	if ((__s64)(now - READ_ONCE(s->limited_at)) <= (__s64)LIMITED_GRAIN_NS)
		return;
	*(volatile __u64 *)&s->limited_at = now;
	*(volatile __u64 *)&r->doubted = now;
}

#endif
