/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HMAC-SHA1 of an advert from a midstate: the agent has hashed the key and the constant prefix of
 * the message, so one or two inner blocks and the outer one are left, whatever the number of
 * addresses.
 */
#ifndef VIPD_AUTH_H
#define VIPD_AUTH_H

#include "maps.h"
#include "sha1.h"

/* Bits of key block and digest under the outer hash, as SHA-1's length field wants them. */
#define OUTER_BITS ((64 + 20) * 8)

/* Lays the counter into the hole at byte off. c0..c2 are the words it covers, in part or whole. */
static __always_inline void put_counter(__u32 w[32], __u32 off, __u64 counter)
{
	__u32 shift = (off & 3) * 8, i = (off >> 2) & 15;
	__u32 c0 = counter >> (32 + shift), c1 = counter >> shift, c2 = counter << (32 - shift);

	w[i] |= c0;
	w[i + 1] |= c1;
	w[i + 2] |= c2;
}

/* A digest as words in host order. */
struct digest {
	__u32 w[5];
};

/*
 * Whether md authenticates counter under one context. Constant time. Global, so that the verifier
 * goes through it once and not once a caller's path; it then wants the pointers checked.
 */
__noinline int digest_matches(const struct auth_context *c, __u64 counter, const struct digest *md)
{
	__u32 w[32] __attribute__((aligned(8)));
	__u32 h[5], diff;

	if (!c || !md)
		return 0;
	__builtin_memcpy(w, c->tmpl, sizeof(w));
	__builtin_memcpy(h, c->inner, sizeof(h));
	put_counter(w, c->off, counter);
	sha1_block(h, w);
	if (c->nblocks == 2)
		sha1_block(h, w + 16);

	__builtin_memcpy(w, h, sizeof(h));
	__builtin_memset(w + 5, 0, 11 * sizeof(w[0]));
	w[5] = 0x80000000;
	w[15] = OUTER_BITS;
	__builtin_memcpy(h, c->outer, sizeof(h));

	diff = sha1_block(h, w) ^ md->w[0];
	diff |= (h[1] ^ md->w[1]) | (h[2] ^ md->w[2]);
	diff |= (h[3] ^ md->w[3]) | (h[4] ^ md->w[4]);
	return diff == 0;
}

#endif
