/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which authentic adverts wake the agent at once. The seen entry has every one of them, and the agent reads it
 * before a timer of the group decides. So an advert that says what the last one said, from the same source and
 * within half an interval, is not worth a wake-up. Without that rule a flood of copies, which are authentic
 * where no counter is checked, would keep the agent busy. A change is told at once, and as many in a row as an
 * owner makes that hands an address back and forth: a goodbye must not wait. A flood of changes costs the agent
 * 256 wake-ups per second. A BACKUP is woken more rarely still: see repeat.h. If it has not permitted that, it
 * wants to hear each beat, which only a vipd node can state: then half a beat takes the place of half an interval.
 */
#ifndef VIPD_NEWS_H
#define VIPD_NEWS_H

#include "parse.h"
#include "role.h"

#define NEWS_SPAN_MIN_NS 1000000ull
#define NEWS_BEAT_MIN_NS 500000ull
#define NEWS_SPAN_MAX_NS 500000000ull
#define NEWS_CHANGES 128 /* in a span; fits seen.told_n */

/* Results of updating the seen entry. */
#define ROSE 1 /* a generation has yielded */
#define NEWS 2 /* tell the agent */

/* Half an interval, bounded: a goodbye states four minutes. For a BACKUP, half a beat if one is stated. */
static __always_inline __u64 news_span(const struct event *ev, int backup)
{
	__u64 span = interval_us(ev->advbase, ev->advskew) * 500ull;

	if (backup && ev->beat) {
		span = ev->beat * 500ull;
		return span < NEWS_BEAT_MIN_NS ? NEWS_BEAT_MIN_NS : span;
	}
	if (span < NEWS_SPAN_MIN_NS)
		return NEWS_SPAN_MIN_NS;
	return span > NEWS_SPAN_MAX_NS ? NEWS_SPAN_MAX_NS : span;
}

/* Call under the lock of the seen entry, before it is written. */
static __always_inline int is_news(struct seen *s, const struct event *ev, __u64 span)
{
	__u32 said = ev->advbase << 24 | ev->advskew << 16 | ev->demote << 8 | ev->flags;
	__u16 gen = ev->generation;

	/* Unsigned: an advert that another CPU received earlier but processes later begins a span too. */
	if (!same_addr(s->src, ev->src) || ev->at - s->told_at >= span) {
		s->told_at = ev->at;
		s->told_n = 0;
	} else if (s->told_said == said && s->told_gen == gen && s->told_beat == ev->beat) {
		return 0;
	} else if (s->told_n >= NEWS_CHANGES) {
		return 0;
	}
	s->told_n++;
	s->told_said = said;
	s->told_gen = gen;
	s->told_beat = ev->beat;
	return 1;
}

#endif
