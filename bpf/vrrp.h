/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * VRRP shares protocol number, group and virtual MAC with CARP. A well-formed VRRP advert is not ours and must
 * not look like a damaged one of ours.
 */
#ifndef VIPD_VRRP_H
#define VIPD_VRRP_H

#include "parse.h"

#define VRRP2_FIXED 16 /* header and authentication data, RFC 3768 5.1 */
#define VRRP3_FIXED 8  /* RFC 9568 5.1 */
#define CARP_AUTHLEN 7

/* Whether type and lengths are those of a VRRP advert: cheap, and false for an ordinary CARP advert. */
static __always_inline int may_be_vrrp(const __u8 *p, __u32 plen, int v6)
{
	__u32 version = p[0] >> 4, count = p[3];

	if (version == 2) /* IPv4 only */
		return !v6 && plen == VRRP2_FIXED + 4 * count &&
		       (plen != CARP_SIZE || count != CARP_AUTHLEN);
	return version == 3 && plen == VRRP3_FIXED + (v6 ? 16 : 4) * count;
}

/*
 * Version 2: exactly 16 + 4 * count bytes with a correct checksum. Version 3: exactly 8 + 4 * count bytes with a
 * correct checksum, over the pseudo-header too (RFC 5798) or without it (RFC 9568, Cisco). hl and plen are the
 * lengths of the IPv4 header and of its payload; the caller has checked that the frame holds both. Global for
 * the verifier's sake.
 */
__noinline int is_vrrp4(PACKET *ctx, __u32 hl, __u32 plen)
{
	void *end = frame_end(ctx);
	struct iphdr *ip = frame(ctx) + IP_OFF;
	__u8 *p = (__u8 *)ip + (hl & 0x3c);
	__u64 pseudo = 0;

	if ((void *)(ip + 1) > end || p + 8 > (__u8 *)end)
		return 0;
	if (!may_be_vrrp(p, plen, 0))
		return 0;
	if (p[0] >> 4 == 3)
		pseudo = (__u64)ip->saddr + ip->daddr + bpf_htonl(IP_PROTO_CARP << 16 | plen);
	if (sum_frame(ctx, IP_OFF + (hl & 0x3c), plen, 0) == 0xffff)
		return 1;
	return pseudo && sum_frame(ctx, IP_OFF + (hl & 0x3c), plen, pseudo) == 0xffff;
}

/* The same over IPv6: only version 3, 16 bytes per address. */
__noinline int is_vrrp6(PACKET *ctx, __u32 plen)
{
	void *end = frame_end(ctx);
	struct ipv6hdr *ip = frame(ctx) + IP_OFF;
	__u8 *p = (__u8 *)(ip + 1);

	if (p + 8 > (__u8 *)end || !may_be_vrrp(p, plen, 1))
		return 0;
	return sum_frame(ctx, IP_OFF + sizeof(*ip), plen, pseudo_v6(ip, IP_PROTO_CARP, plen)) == 0xffff;
}

#endif
