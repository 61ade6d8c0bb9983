/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which group a VHID on an interface is. Most of the time that is one load from an array: the hash map,
 * which knows all groups, is asked only where two of them share an entry, and for what is nobody's.
 */
#ifndef VIPD_PLACE_H
#define VIPD_PLACE_H

#include "maps.h"

/* The same in loader/places.go. */
static __always_inline __u32 place_index(const struct group_key *key)
{
	return ((key->ifindex << 8) + (key->vlan << 4) + key->vhid) & (MAX_PLACES - 1);
}

static __always_inline struct group_val *group_at(__u32 ifindex, __u16 vlan, __u8 vhid)
{
	struct group_key key = { .ifindex = ifindex, .vlan = vlan, .vhid = vhid };
	__u32 index = place_index(&key);
	struct place *p = bpf_map_lookup_elem(&places, &index);

	if (p && *(const volatile __u64 *)&p->key == *(const __u64 *)&key)
		return &p->val;
	return bpf_map_lookup_elem(&groups, &key);
}

#endif
