/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * VLAN tags in a frame that XDP sees on the parent interface. A map gives the VLAN device of the tags: the frame
 * is judged as if it had come in on that device, whose index is the key everywhere else. Handlers know only
 * frames without tags, so frames for them lose their tags on the way in and get them back on the way out.
 */
#ifndef VIPD_VLAN_H
#define VIPD_VLAN_H

#include "maps.h"
#include "parse.h"

#define MACS_LEN (2 * ETH_ALEN)
#define TAG_LEN 4

/* The tags that a frame has lost, in wire format. */
struct tags {
	__u32 len; /* in bytes; 0: none removed */
	__u32 tag[2];
};

/* Whether the packet behind the tags may be for a handler. */
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

/* Adds a tag to the key. A tag with id 0 carries a priority but no VLAN. */
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

/* Moves the addresses over the tags. Global, like its reverse: the verifier checks each once. */
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
	t->tag[1] = p[4]; /* meaningless with one tag */
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

/* 0: the tags cannot be put back, and the frame must not pass without them. */
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
 * Returns the interface that a tagged frame belongs to, 0 if it is none of ours. If the frame may be for a
 * handler, its tags are in t then and no longer in the frame.
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
	/* A third tag belongs to no group. */
	if (!ifindex || is_tag(proto_be))
		return 0;
	if (is_wanted(proto_be, p + 1, end) && !take_tags_off(ctx, t, len))
		return 0;
	return *ifindex;
}

#endif
