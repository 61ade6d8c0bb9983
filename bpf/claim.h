/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Claims: ARP and ND messages that give a VIP to another MAC than the virtual one. A host that receives one
 * sends the VIP's traffic there. They pass, whatever the role: no frame is dropped for what it tells others. The
 * agent is informed and decides what is a conflict: ucarp announces with its host's own MAC when it becomes
 * master.
 *
 * The agent is told of a flood only now and then. Each address has its own pace, so that one intruder hides no
 * other; the budget of the group and the room in the ring bound the total.
 */
#ifndef VIPD_CLAIM_H
#define VIPD_CLAIM_H

#include "budget.h"
#include "maps.h"
#include "parse.h"
#include "role.h"

#define CLAIM_AGAIN_NS 100000000ull /* between two of one MAC for an address */
#define CLAIM_OTHER_NS 10000000ull  /* of different MACs */
#define CLAIM_ROOM (EVENTS_BYTES / 4) /* of the ring; the rest is for adverts */

/*
 * Counts a claim of the VIP with this slot, and reports whether it told the agent. The caller fills in
 * everything but time and count. In INIT this node does not care about the VIP. Global, since it is off the hot
 * path.
 */
__noinline int note_claim(struct claim *c, __u32 vip)
{
	struct vip_stats *st;
	struct claim *told;
	struct budget *b;
	struct role *r;
	__u32 slot;
	__u64 now;

	if (!c)
		return 0;
	/* On the stack: verifiers before 6.2 accept no key from an argument of a global function. */
	slot = c->slot;
	r = role_of(slot);
	b = bpf_map_lookup_elem(&budget, &slot);
	st = bpf_map_lookup_elem(&vip_stats, &vip);
	if (!r || !b || !st || (READ_ONCE(r->role_gen) & ROLE_MASK) == ROLE_INIT)
		return 0;
	st->claims++;
	now = recently();
	if (st->claim_at && now - st->claim_at < (same_mac(st->claim_mac, c->mac) ? CLAIM_AGAIN_NS : CLAIM_OTHER_NS))
		return 0;
	if (!take(&b->claims, now, CLAIMS_COST_NS, CLAIMS_BURST_NS, 0) ||
	    bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > CLAIM_ROOM)
		return 0;
	told = bpf_ringbuf_reserve(&events, sizeof(*told), 0);
	if (!told)
		return 0;
	c->at = boot_now();
	c->count = st->claims - st->claims_told;
	*told = *c;
	bpf_ringbuf_submit(told, BPF_RB_FORCE_WAKEUP); /* as in accept.h */
	st->claims_told = st->claims;
	st->claim_at = now;
	__builtin_memcpy(st->claim_mac, c->mac, ETH_ALEN);
	return 1;
}

#endif
