/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An advert while it is judged, and whether it is one of ours. */
#ifndef VIPD_JUDGED_H
#define VIPD_JUDGED_H

#include "auth.h"
#include "parse.h"
#include "role.h"

/* An advert during the checks. ev goes into the seen entry and the ring. */
struct advert {
	struct event ev;
	struct digest md;
	__u32 prio;  /* like role.sent_prio */
	__u32 rules; /* GROUP_* */
	__u32 proof; /* enum proof */
	__u64 tag;   /* this and flags: of the trailer */
	__u32 memory_s; /* like group_val.memory_s */
	__u16 flags;
	__u16 pad;
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
 * suspect but normal. Global: verified once.
 */
__noinline int is_loop(struct advert *a, const struct role *r)
{
	int i;

	if (!a || !r)
		return 0;
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

#endif
