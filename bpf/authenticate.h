/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether the digest of an advert without a valid trailer is right, within the budget. */
#ifndef VIPD_AUTHENTICATE_H
#define VIPD_AUTHENTICATE_H

#include "budget.h"
#include "judged.h"

/*
 * A vipd node's trailer needs no budget; what only looks like one gets the small one, so that its refusal has the right
 * reason. That it is refused unread proves nothing about the master.
 */
static __always_inline int is_class1(const struct advert *a, const struct seen *s)
{
	return a->proof == PROOF_NONE && in_class1(s, a->ev.src, a->ev.counter);
}

/*
 * Whether the budget may pay for a digest, as far as that is known without reading the clock: a flood from
 * unknown sources is not worth a reading, nor a call. The next token is noticed a tick late.
 */
static __always_inline int worth_a_digest(const struct advert *a)
{
	__u32 slot = a->ev.slot;
	struct role *r = role_of(slot);
	struct seen *s = seen_of(slot);
	struct budget *b = bpf_map_lookup_elem(&budget, &slot);
	__u64 now;

	if (!r || !s || !b || is_class1(a, s))
		return 1;
	now = recently();
	if (affordable(b, s, now))
		return 1;
	if (a->proof == PROOF_NONE)
		note_limited(s, r, now);
	return 0;
}

/* Whether the digest may be computed and is correct: an enum reject. Global, like its callee. */
__noinline int authenticate(struct advert *a)
{
	__u32 i, k, n, first, slot, unpaid = 0;
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
	au = auth_of(slot, r);
	if (!au)
		return REJECT_BAD_HMAC;
	class1 = is_class1(a, s);
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
		if (!charge(b, s, class1, i == 0, a->ev.at)) {
			unpaid = 1;
			break;
		}
		if (digest_matches(&au->ctx[k], a->ev.counter, &a->md)) {
			a->ev.ctx = k;
			return REJECT_NONE;
		}
	}
	if (!unpaid)
		return REJECT_BAD_HMAC;
	if (a->proof == PROOF_NONE)
		note_limited(s, r, a->ev.at);
	return REJECT_RATE_LIMITED;
}

#endif
