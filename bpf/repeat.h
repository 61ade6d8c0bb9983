/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which authentic adverts are withheld from the agent of a BACKUP: those that say what the last one that it was
 * told in their family said, from the same source. The agent names that one by its time (role.settled) when its
 * election has nothing to decide on a repetition. It finds the last repetition in the map heard, without a system
 * call, before it decides anything. See docs/decisions/data-plane.md.
 */
#ifndef VIPD_REPEAT_H
#define VIPD_REPEAT_H

#include "parse.h"
#include "role.h"

/* 0: IPv4. Sources are stored as v4-mapped addresses. */
static __always_inline __u32 family_of(const __u8 *src)
{
	const __u32 *w = (const __u32 *)src;

	return w[0] || w[1] || w[2] != bpf_htonl(0xffff);
}

static __always_inline struct heard *heard_of(__u32 slot, __u32 family)
{
	/* On the stack: verifiers before 6.2 accept no key from an argument of a global function. */
	__u32 at = slot * 2 + family;

	return bpf_map_lookup_elem(&heard, &at);
}

/* The time of the advert whose repetitions the agent permits to withhold; 0: none. */
static __always_inline __u64 settled(const struct role *r, __u32 family)
{
	if ((READ_ONCE(r->role_gen) & ROLE_MASK) != ROLE_BACKUP)
		return 0;
	return family ? READ_ONCE(r->settled[1]) : READ_ONCE(r->settled[0]);
}

/* All that the agent goes by. The flags leave room for the context. */
static __always_inline __u32 said_of(const struct event *ev)
{
	return ev->advbase << 24 | ev->advskew << 16 | ev->demote << 8 | ev->ctx << 5 | ev->flags;
}

/* Call this and note_told() under the lock of the seen entry. */
static __always_inline int repeats(const struct heard *h, const struct event *ev, __u64 of)
{
	return of && of == h->told_at && h->said == said_of(ev) && h->beat == ev->beat && same_addr(h->src, ev->src);
}

static __always_inline void note_repeated(struct heard *h, const struct event *ev)
{
	if (ev->at < h->at)
		return;
	h->counter = ev->counter;
	h->at = ev->at;
}

static __always_inline void note_told(struct heard *h, const struct event *ev)
{
	/* An advert that another CPU received earlier but processes later cannot be named by its time. */
	h->told_at = ev->at > h->told_at ? ev->at : 0;
	h->said = said_of(ev);
	h->beat = ev->beat;
	__builtin_memcpy(h->src, ev->src, sizeof(h->src));
}

#endif
