/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Headers in wire format, and the little arithmetic on them. Every pointer into a frame is checked against its
 * end on the line before its first use.
 */
#ifndef VIPD_PARSE_H
#define VIPD_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "packet.h"

/* linux/if_arp.h includes libc headers that do not exist for this target. */
#define ARPHRD_ETHER 1
#define ARPHRD_IEEE802 6
#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2

#define IP_PROTO_CARP 112
#define IP_PROTO_ICMPV6 58
#define IP_OFF ETH_HLEN /* of an IP header in a frame without tags */
#define IP_FRAGMENT_MASK 0x3fff /* more-fragments flag and offset */
#define VLAN_ID_MASK 0x0fff
#define CARP_SIZE 36
#define PROVEN_SIZE 56 /* with a trailer */
#define CARP_VERSION 2
#define CARP_TTL 255
#define CARP_GROUP_V4 0xe0000012 /* 224.0.0.18 */

/*
 * The checksum loop reads at most this many 32-bit words: a VRRP advert of 255 IPv4 addresses, or of as many
 * IPv6 addresses as fit in a frame of 1500 bytes.
 */
#define SUM_WORDS 365

struct carp_hdr {
	__u8 version_type;
	__u8 vhid;
	__u8 advskew;
	__u8 authlen;
	__u8 demote;
	__u8 advbase;
	__be16 cksum_be;
	__be32 counter_be[2];
	__be32 md_be[5];
};
_Static_assert(sizeof(struct carp_hdr) == CARP_SIZE, "carp_hdr");

struct arp_eth {
	__be16 htype_be;
	__be16 ptype_be;
	__u8 hlen;
	__u8 plen;
	__be16 op_be;
	__u8 sha[6];
	__u8 sip[4];
	__u8 tha[6];
	__u8 tip[4];
};
_Static_assert(sizeof(struct arp_eth) == 28, "arp_eth");

/* Keeps the compiler from turning a bounds check into arithmetic on the end of the frame. */
#define OPAQUE(p) asm volatile("" : "+r"(p))

/* The IP header begins at most 14 bytes into the frame and is at most 60 long. */
#define OFF_MAX (ETH_HLEN + 60)

/*
 * The payload, at most OFF_MAX into the frame. The mask is for verifiers before 5.16: they forget the bounds of a 32-bit
 * value that the compiler put on the stack.
 */
static __always_inline __u8 *payload_at(__u8 *p, __u32 off)
{
	_Static_assert(OFF_MAX <= 127, "mask");
	OPAQUE(off);
	return p + (off & 127);
}

static __always_inline int is_tag(__be16 proto_be)
{
	return proto_be == bpf_htons(ETH_P_8021Q) || proto_be == bpf_htons(ETH_P_8021AD);
}

/* 00:00:5e:00:01:VHID */
static __always_inline void virtual_mac(__u8 mac[6], __u8 vhid)
{
	mac[0] = 0;
	mac[1] = 0;
	mac[2] = 0x5e;
	mac[3] = 0;
	mac[4] = 1;
	mac[5] = vhid;
}

static __always_inline int is_virtual_mac(const __u8 mac[6])
{
	const __u16 *w = (const __u16 *)mac;

	return w[0] == 0 && w[1] == bpf_htons(0x5e00) && mac[4] == 1;
}

static __always_inline int same_mac(const __u8 a[6], const __u8 b[6])
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

static __always_inline int is_multicast_mac(const __u8 mac[6])
{
	return mac[0] & 1;
}

/* Ethernet destinations that reach our stack: groups, the NIC's own and the virtual MAC. */
static __always_inline int reaches_us(const struct ethhdr *eth, const __u8 *nic_mac, __u8 vhid)
{
	__u8 mac[6];

	virtual_mac(mac, vhid);
	return is_multicast_mac(eth->h_dest) || same_mac(eth->h_dest, nic_mac) ||
	       same_mac(eth->h_dest, mac);
}

/*
 * In two stores of 8 bytes, as it is compared and hashed: a load that waits for two smaller stores costs more
 * than the rest of a lookup.
 */
static __always_inline void v4_mapped(__u8 addr[16], __be32 v4_be)
{
	__u64 *w = (__u64 *)addr;

	w[0] = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	w[1] = (__u64)v4_be << 32 | 0xffff0000;
#else
	w[1] = 0xffff00000000 | v4_be;
#endif
}

static __always_inline int same_addr(const __u8 *a, const __u8 *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1];
}

/* ff02::12 */
static __always_inline int is_carp_group_v6(const __u8 *addr)
{
	const __u32 *w = (const __u32 *)addr;

	return w[0] == bpf_htonl(0xff020000) && w[1] == 0 && w[2] == 0 && w[3] == bpf_htonl(0x12);
}

/* The 32-bit words of a pseudo-header (RFC 8200, 8.1), unfolded. */
static __always_inline __u64 pseudo_v6(const struct ipv6hdr *ip, __u8 proto, __u32 len)
{
	const __u32 *w = (const __u32 *)&ip->saddr;

	return (__u64)w[0] + w[1] + w[2] + w[3] + w[4] + w[5] + w[6] + w[7] + bpf_htonl(len) +
	       bpf_htonl(proto);
}

/* Folds a sum of 32-bit (or 16-bit) words to 16 bits, in any byte order. */
static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/*
 * Returns the folded ones-complement sum of len bytes at off, plus seed; 0xffff for a correct checksum. 0 if the
 * frame ends before, or len exceeds any advert: no sum of real data is 0. Global, so that the verifier checks
 * the loop once and not once per path of a caller.
 */
__noinline int sum_frame(PACKET *ctx, __u32 off, __u32 len, __u64 seed)
{
	void *end = frame_end(ctx);
	__u8 *p = frame(ctx);
	__u64 sum = seed;
	__u32 i;

	if (off > OFF_MAX || len > SUM_WORDS * 4)
		return 0;
	p = payload_at(p, off);
	for (i = 0; i < SUM_WORDS && len >= 4; i++) {
		OPAQUE(p);
		if (p + 4 > (__u8 *)end)
			return 0;
		sum += *(__u32 *)p;
		p += 4;
		len -= 4;
	}
	OPAQUE(p);
	if (len >= 2) {
		if (p + 2 > (__u8 *)end)
			return 0;
		sum += *(__u16 *)p;
		p += 2;
		len -= 2;
	}
	OPAQUE(p);
	if (len) {
		if (p + 1 > (__u8 *)end)
			return 0;
		sum += bpf_htons((__u16)(*p << 8));
	}
	return fold(sum);
}

#endif
