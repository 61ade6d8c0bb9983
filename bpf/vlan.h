/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * VLAN tags in a frame that XDP sees on the parent interface. What tags mean is in a map: a frame with
 * them is judged as if it had come in on the VLAN device, whose index is the key everywhere else. The
 * handlers know frames without tags only, so those that concern them lose the tags on the way in and have
 * them back on the way out.
 */
#ifndef VIPD_VLAN_H
#define VIPD_VLAN_H

#include "maps.h"
#include "parse.h"

#define MACS_LEN (2 * ETH_ALEN)
#define TAG_LEN 4

/* The tags that a frame has lost, as they travel. */
struct tags {
	__u32 len; /* in bytes; 0: none was taken off */
	__u32 tag[2];
};

/* Whether a handler may want the packet behind the tags. */
static __always_inline int is_wanted(__be16 proto_be, const void *p, const void *end)
{
	const struct ipv6hdr *ip6 = p;
	const struct arp_eth *arp = p;
	const struct iphdr *ip = p;

	switch (proto_be) {
	case bpf_htons(ETH_P_ARP):
		return (const void *)(arp + 1) <= end;
	case bpf_htons(ETH_P_IP):
		return (const void *)(ip + 1) <= end && ip->protocol == IP_PROTO_CARP;
	case bpf_htons(ETH_P_IPV6):
		return (const void *)(ip6 + 1) <= end &&
		       (ip6->nexthdr == IP_PROTO_CARP || ip6->nexthdr == IP_PROTO_ICMPV6);
	}
	return 0;
}

/* Adds a tag to the key. One with id 0 carries a priority and no VLAN. */
static __always_inline void add_tag(struct vlan_key *key, __be16 proto_be, __be16 tci_be)
{
	__u16 id = bpf_ntohs(tci_be) & VLAN_ID_MASK;

	if (!id)
		return;
	if (!key->outer) {
		key->outer_proto_be = proto_be;
		key->outer = id;
	} else {
		key->inner_proto_be = proto_be;
		key->inner = id;
	}
}

/* Moves the addresses over the tags. Global, as its reverse: the verifier goes through each once. */
__noinline int take_tags_off(struct xdp_md *ctx, struct tags *t, __u32 len)
{
	__u32 *p = frame(ctx);
	__u32 a, b, c;

	if (!t || (void *)(p + 5) > frame_end(ctx))
		return 0;
	a = p[0];
	b = p[1];
	c = p[2];
	t->tag[0] = p[3];
	t->tag[1] = p[4]; /* of no meaning where there is one tag */
	len = len == 2 * TAG_LEN ? 2 * TAG_LEN : TAG_LEN;
	if (bpf_xdp_adjust_head(ctx, len))
		return 0;
	p = frame(ctx);
	if ((void *)(p + 3) > frame_end(ctx))
		return 0;
	p[0] = a;
	p[1] = b;
	p[2] = c;
	t->len = len;
	return 1;
}

/* 0: the frame cannot be mended, and must not go on without its tags. */
__noinline int put_tags_back(struct xdp_md *ctx, const struct tags *t)
{
	__u32 *p = frame(ctx);
	__u32 a, b, c;

	if (!t || (void *)(p + 3) > frame_end(ctx))
		return 0;
	a = p[0];
	b = p[1];
	c = p[2];
	if (bpf_xdp_adjust_head(ctx, t->len == 2 * TAG_LEN ? -2 * TAG_LEN : -TAG_LEN))
		return 0;
	p = frame(ctx);
	if ((void *)(p + 5) > frame_end(ctx))
		return 0;
	p[0] = a;
	p[1] = b;
	p[2] = c;
	p[3] = t->tag[0];
	if (t->len == 2 * TAG_LEN)
		p[4] = t->tag[1];
	return 1;
}

/*
 * The interface that a tagged frame belongs to, 0 if none of ours. Of a frame that a handler may want the
 * tags are gone then, and in t.
 */
__noinline int untag(struct xdp_md *ctx, struct tags *t)
{
	void *end = frame_end(ctx);
	__be16 *p = frame(ctx) + MACS_LEN;
	struct vlan_key key = {};
	__u32 *ifindex, len = TAG_LEN;
	__be16 proto_be;

	if (!t || (void *)(p + 3) > end || !is_tag(p[0]))
		return 0;
	key.ifindex = ctx->ingress_ifindex;
	add_tag(&key, p[0], p[1]);
	proto_be = p[2];
	p += 2;
	if (is_tag(proto_be)) {
		if ((void *)(p + 3) > end)
			return 0;
		add_tag(&key, p[0], p[1]);
		proto_be = p[2];
		p += 2;
		len += TAG_LEN;
	}
	ifindex = &key.ifindex;
	if (key.outer)
		ifindex = bpf_map_lookup_elem(&vlans, &key);
	/* A third tag is nobody's. */
	if (!ifindex || is_tag(proto_be))
		return 0;
	if (is_wanted(proto_be, p + 1, end) && !take_tags_off(ctx, t, len))
		return 0;
	return *ifindex;
}

#endif
