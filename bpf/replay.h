/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Recognises authentic adverts without trailers that were already received, if the group is strict. CARP has no rule
 * for its counter. FreeBSD, NetBSD and ucarp add one per advert, continue from whatever they hear from a peer, and draw
 * a fresh random number for each advert until they have heard one; OpenBSD's is constant until it boots. So a source
 * has to prove that it counts (REPLAY_PROVEN small steps up) before a jump counts against it, and then
 * - the next 2^32 counters are new,
 * - a counter just above the group's last advert or one of ours was adopted,
 * - the same counter is a replay, unless the source never proved that it counts (OpenBSD),
 * - the last 2^32 counters are replays,
 * - any other counter is a replay, until REPLAY_JUMPS of them came one interval apart with no step up in
 *   between: the source booted, or draws at random.
 * What this cannot detect: counters of one source replayed from another address, known or unknown, and
 * OpenBSD's counter, which is always the same. Priorities are not bound to the counter. Only trailers close
 * these gaps. Two CPUs that receive adverts of one source at once may lose a step: at worst one more copy
 * of the same advert is accepted.
 */
#ifndef VIPD_REPLAY_H
#define VIPD_REPLAY_H

#include "role.h"

#define REPLAY_SPAN (1ull << 32)
#define REPLAY_PROVEN 3
#define REPLAY_JUMPS 3
#define REPLAY_ADOPT 64 /* adverts that may have been lost since */

/* Whether a counter continues from what the group heard last. */
static __always_inline int follows(__u64 counter, const struct seen *s)
{
	return counter - s->counter - 1 < REPLAY_ADOPT;
}

/* Whether it does, or continues from one that we sent. */
static __always_inline int is_adopted(__u64 counter, const struct role *r, const struct seen *s)
{
	int i;

	if (follows(counter, s))
		return 1;
#pragma unroll
	for (i = 0; i < MAX_SENT; i++) {
		__u64 sent = READ_ONCE(r->sent[i].counter);

		/* 0: never filled. */
		if (sent && counter - sent - 1 < REPLAY_ADOPT)
			return 1;
	}
	return 0;
}

/* Notes a jump of a source that counts; 0 if it has jumped so often that it does not count. */
static __always_inline int jumped(struct source_val *src, __u64 now)
{
	/* Spaced, so that a burst of replayed captures is one jump. */
	if (now - src->jump_at >= src->interval_us * 750ull) {
		src->jump_at = now;
		src->jumps++;
	}
	return src->jumps <= REPLAY_JUMPS;
}

static __always_inline int strict_replay(const struct event *ev, struct source_val *src,
					 const struct role *r, const struct seen *s)
{
	__u64 ahead = ev->counter - src->counter;

	if (ahead && ahead < REPLAY_SPAN)
		return 0;
	if (!ahead)
		return src->rises >= REPLAY_PROVEN && !follows(ev->counter, s);
	if (-ahead < REPLAY_SPAN)
		return !follows(ev->counter, s);
	return src->rises >= REPLAY_PROVEN && !is_adopted(ev->counter, r, s) && jumped(src, ev->at);
}

/* Learns from an accepted advert about the counters of its source. */
static __always_inline void learn_counter(struct source_val *src, const struct event *ev,
					  const struct role *r, const struct seen *s)
{
	__u64 ahead = ev->counter - src->counter;

	if (ahead && ahead < REPLAY_SPAN) {
		if (src->rises < REPLAY_PROVEN)
			src->rises++;
		src->jumps = 0;
	} else if (ahead && !is_adopted(ev->counter, r, s)) {
		src->rises = 0;
		src->jumps = 0;
	}
	src->counter = ev->counter;
	if (ev->advbase != GOODBYE || ev->advskew != GOODBYE)
		src->interval_us = interval_us(ev->advbase, ev->advskew);
}

#endif
