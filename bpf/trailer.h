/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The trailer of a vipd node's advert: a tag that binds source, priority and counter. See docs/authentication.md;
 * agent/wire/trailer.go is the other side. SipHash-2-4 of a message of fixed length.
 */
#ifndef VIPD_TRAILER_H
#define VIPD_TRAILER_H

#include "parse.h"

#define TRAILER_FIRST 0x5601 /* kind V, version 1 */

struct trailer {
	__be16 first_be;
	__be16 beat_be;
	__be16 flags_be;
	__be16 zero_be;
	__be32 tag_be[2]; /* eight bytes, which SipHash reads as a little-endian number */
	__be16 end_be;
	__be16 balance_be;
};
_Static_assert(sizeof(struct trailer) == PROVEN_SIZE - CARP_SIZE, "trailer");

#define SIP_ROL(x, n) ((x) << (n) | (x) >> (64 - (n)))

struct sip {
	__u64 v0, v1, v2, v3;
};

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = SIP_ROL(s->v1, 13) ^ s->v0;
	s->v0 = SIP_ROL(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = SIP_ROL(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = SIP_ROL(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = SIP_ROL(s->v1, 17) ^ s->v2;
	s->v2 = SIP_ROL(s->v2, 32);
}

static __always_inline void sip_absorb(struct sip *s, __u64 m)
{
	s->v3 ^= m;
	sip_round(s);
	sip_round(s);
	s->v0 ^= m;
}

static __always_inline void sip_begin(struct sip *s, const __u64 key[2])
{
	s->v0 = key[0] ^ 0x736f6d6570736575ull;
	s->v1 = key[1] ^ 0x646f72616e646f6dull;
	s->v2 = key[0] ^ 0x6c7967656e657261ull;
	s->v3 = key[1] ^ 0x7465646279746573ull;
}

static __always_inline __u64 sip_end(struct sip *s)
{
	s->v2 ^= 0xff;
	sip_round(s);
	sip_round(s);
	sip_round(s);
	sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* Eight bytes as SipHash reads them, on hosts of either byte order. */
static __always_inline __u64 sip_word(const __u8 *p)
{
	return __builtin_bswap64(bpf_be64_to_cpu(*(const __u64 *)p));
}

/* The same for eight bytes that were read as two big-endian words. */
static __always_inline __u64 sip_words(__u32 first, __u32 second)
{
	return (__u64)__builtin_bswap32(second) << 32 | __builtin_bswap32(first);
}

static __always_inline __u64 tag_of(const struct trailer *t)
{
	return sip_words(bpf_ntohl(t->tag_be[0]), bpf_ntohl(t->tag_be[1]));
}

#endif
