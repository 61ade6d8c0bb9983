/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Finds the group of a VHID on an interface, and the owner of an address. That nearly always takes one load from
 * an array. The hash map, which has all groups, is asked only if two of them share an entry, and for a VHID that
 * has no group.
 */
#ifndef VIPD_PLACE_H
#define VIPD_PLACE_H

#include "maps.h"
#include "parse.h"

/* The same function as in loader/tables/places.go. */
static __always_inline __u32 place_index(const struct group_key *key)
{
	return ((key->ifindex << 8) + key->vhid) & (MAX_PLACES - 1);
}

static __always_inline struct group_val *group_at(__u32 ifindex, __u8 vhid)
{
	struct group_key key = { .ifindex = ifindex, .vhid = vhid };
	__u32 index = place_index(&key);
	struct place *p = bpf_map_lookup_elem(&places, &index);

	if (p && *(const volatile __u64 *)&p->key == *(const __u64 *)&key)
		return &p->val;
	return bpf_map_lookup_elem(&groups, &key);
}

/* The same function as in loader/tables/vipplaces.go. */
static __always_inline __u32 vip_index(const __u64 w[3])
{
	return ((w[0] ^ w[1] ^ w[2]) * 0x9e3779b97f4a7c15ull) >> (64 - VIP_PLACE_BITS);
}

/*
 * Returns the owner of an address on an interface, 0 if it has none. Either answer nearly always takes one load:
 * the hash map is asked only if the entry says that several addresses belong to it. For the order of the two
 * reads see loader/tables/vipplaces.go.
 */
static __always_inline struct vip_val *vip_at(const struct vip_key *key)
{
	const __u64 *w = (const __u64 *)key;
	__u32 index = vip_index(w);
	struct vip_place *p = bpf_map_lookup_elem(&vip_places, &index);
	__u64 other;

	if (p) {
		other = *(const volatile __u64 *)&p->where ^ w[2];
		if (!other) {
			/* 0, but the compiler does not know: what follows is loaded later, also on arm64. */
			OPAQUE(other);
			p = (void *)p + other;
			if (p->addr[0] == w[0] && p->addr[1] == w[1])
				return &p->val;
		}
		if (!*(const volatile __u64 *)&p->more)
			return 0;
	}
	return bpf_map_lookup_elem(&vips, key);
}

#endif
