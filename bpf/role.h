/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's side of the lease: what this node may do for a group, and what ends that. */
#ifndef VIPD_ROLE_H
#define VIPD_ROLE_H

#include "clock.h"
#include "maps.h"

/* The agent stores each of these with one instruction while we run: load each only once. */
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))

#define GOODBYE 255

static __always_inline struct role *role_of(__u32 slot)
{
	return bpf_map_lookup_elem(&roles, &slot);
}

static __always_inline struct seen *seen_of(__u32 slot)
{
	return bpf_map_lookup_elem(&seen, &slot);
}

/* The keys of a group that are in force. */
static __always_inline struct auth *auth_of(__u32 slot, const struct role *r)
{
	__u32 live = slot * 2 + (READ_ONCE(r->auth_index) & 1);

	return bpf_map_lookup_elem(&auth, &live);
}

/* Whether the group is MASTER in a generation that has not yielded. */
static __always_inline int holds(const struct role *r, const struct seen *s)
{
	__u64 role_gen = READ_ONCE(r->role_gen);

	return (role_gen & ROLE_MASK) == ROLE_MASTER &&
	       READ_ONCE(s->yielded_gen) < role_gen >> ROLE_SHIFT;
}

/*
 * Whether this node speaks for the group now. Missing state never permits it. A claim counts from the moment its
 * advert leaves: that advert makes the old owner yield and switches learn, so frames that arrive before the
 * agent has stored the first lease need a receiver.
 */
static __always_inline int answering(__u32 slot)
{
	struct role *r = role_of(slot);
	struct seen *s = seen_of(slot);
	__u64 now, claim, lease;

	if (!r || !s || !holds(r, s))
		return 0;
	lease = READ_ONCE(r->lease);
	if (far_ahead(lease))
		return 1;
	now = boot_now();
	if (now < lease)
		return 1;
	claim = READ_ONCE(r->send_until);
	return now < claim && claim == READ_ONCE(s->claimed);
}

/* Whether an advert of ours may leave: answering, or about to. Records the first one of a claim. */
static __always_inline int advertise(__u32 slot)
{
	struct role *r = role_of(slot);
	struct seen *s = seen_of(slot);
	__u64 now, claim;

	if (!r || !s || !holds(r, s))
		return 0;
	now = bpf_ktime_get_boot_ns();
	if (now < READ_ONCE(r->lease))
		return 1;
	claim = READ_ONCE(r->send_until);
	if (now >= claim)
		return 0;
	*(volatile __u64 *)&s->claimed = claim;
	return 1;
}

/* Advertisement interval in microseconds, as the BSDs compare it: s + floor(skew * 10^6 / 256). */
static __always_inline __u32 interval_us(__u8 advbase, __u8 advskew)
{
	return advbase * 1000000u + advskew * 15625u / 4;
}

/*
 * Whether an advert makes us yield; mine is what we last sent (role.sent_prio). An equal one does, as on the
 * BSDs; a goodbye (255/255) never does. The demote byte counts as in OpenBSD's ip_carp.c, but only against a
 * source that is known to obey it.
 */
static __always_inline int superior(__u8 advbase, __u8 advskew, __u8 demote, __u64 mine, int aware)
{
	__u8 my_demote = mine;
	int by_time;

	if (advbase == GOODBYE && advskew == GOODBYE)
		return 0;
	by_time = interval_us(advbase, advskew) <= interval_us(mine >> 16, mine >> 8);
	if (!aware)
		return by_time;
	return (by_time && demote <= my_demote) || demote < my_demote;
}

#endif
