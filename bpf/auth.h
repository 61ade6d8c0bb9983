/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * HMAC-SHA1 of an advert from a midstate: the agent has hashed the key and the constant prefix of the message,
 * so only one or two inner blocks and the outer one are left, whatever the number of addresses.
 */
#ifndef VIPD_AUTH_H
#define VIPD_AUTH_H

#include "maps.h"
#include "sha1.h"

/* Bits of key block and digest in the outer hash, for SHA-1's length field. */
#define OUTER_BITS ((64 + 20) * 8)

/*
 * Returns the words of one of the last blocks of the inner message: the template with the counter in its hole.
 * The hole may begin within a word, so the counter covers three, and it may reach into a second block.
 */
static __always_inline void fill_inner(const struct auth_context *c, __u64 counter, __u32 second, __u32 *w)
{
	__u32 shift = (c->off & 3) * 8, i = (c->off >> 2) & 15;
	__u32 c0 = counter >> (32 + shift), c1 = counter >> shift, c2 = counter << (32 - shift);

	if (!second) {
		__builtin_memcpy(__builtin_assume_aligned(w, 8), c->tmpl, SHA1_BLOCK);
		w[i] |= c0;
		w[i + 1] |= c1; /* after the block: unused */
		w[i + 2] |= c2;
		return;
	}
	__builtin_memcpy(__builtin_assume_aligned(w, 8), c->tmpl + SHA1_WORDS, SHA1_BLOCK);
	if (i == 15) {
		w[0] |= c1;
		w[1] |= c2;
	} else if (i == 14) {
		w[0] |= c2;
	}
}

/* The outer message is one block with the inner digest h; h becomes the state before it. */
static __always_inline void fill_outer(const struct auth_context *c, __u32 *h, __u32 *w)
{
	__builtin_memcpy(w, h, sizeof(c->outer));
	__builtin_memset(w + 5, 0, SHA1_BLOCK - sizeof(c->outer));
	w[5] = 0x80000000;
	w[15] = OUTER_BITS;
	__builtin_memcpy(h, c->outer, sizeof(c->outer));
}

/* A digest as words in host order. */
struct digest {
	__u32 w[5];
};

/*
 * Whether md authenticates counter under one context, in constant time. Global, so that the verifier checks it
 * once and not once per path of a caller; it then demands checks of the pointers.
 */
__noinline int digest_matches(const struct auth_context *c, __u64 counter, const struct digest *md)
{
	__u32 h[5], diff, zero = 0;
	__u64 block = 0; /* before 5.16 the verifier tracks no smaller spilled value and finds no end of the loop */
	struct scratch *s;
	__u32 *w;

	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!c || !md || !s)
		return 0;
	w = (__u32 *)s->w;
	__builtin_memcpy(h, c->inner, sizeof(h));
	/* One copy of the block function for all. It ends with a jump backwards, see TestBackEdges. */
	_Pragma("clang loop unroll(disable)") do
	{
		if (block < c->nblocks)
			fill_inner(c, counter, block, w);
		else
			fill_outer(c, h, w);
		sha1_block(h, w);
	}
	while (block++ < c->nblocks && block < 3);
	diff = (h[0] ^ md->w[0]) | (h[1] ^ md->w[1]) | (h[2] ^ md->w[2]);
	diff |= (h[3] ^ md->w[3]) | (h[4] ^ md->w[4]);
	return diff == 0;
}

#endif
