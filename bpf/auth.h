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

/*
 * A store at a variable stack offset would need CAP_PERFMON, hence one case a word. The empty
 * assembly differs from case to case and keeps the compiler from merging them into just that.
 */
#define PUT_COUNTER(n)                                                                             \
	case n:                                                                                    \
		w[n] |= c0;                                                                        \
		w[(n) + 1] |= c1;                                                                  \
		w[(n) + 2] |= c2;                                                                  \
		asm volatile("" ::"i"(n) : "memory");                                              \
		break

static __always_inline void put_counter(__u32 w[32], __u32 off, __u64 counter)
{
	__u32 shift = (off & 3) * 8;
	__u32 c0 = counter >> (32 + shift), c1 = counter >> shift, c2 = counter << (32 - shift);

	switch ((off >> 2) & 15) {
		PUT_COUNTER(0);
		PUT_COUNTER(1);
		PUT_COUNTER(2);
		PUT_COUNTER(3);
		PUT_COUNTER(4);
		PUT_COUNTER(5);
		PUT_COUNTER(6);
		PUT_COUNTER(7);
		PUT_COUNTER(8);
		PUT_COUNTER(9);
		PUT_COUNTER(10);
		PUT_COUNTER(11);
		PUT_COUNTER(12);
		PUT_COUNTER(13);
		PUT_COUNTER(14);
		PUT_COUNTER(15);
	}
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
