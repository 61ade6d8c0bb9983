/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SHA-1 block function (FIPS 180-4, 6.1.2), unrolled. Five rounds bring the five state words back to their
 * places, so nothing is moved. On today's CPUs the number of arithmetic instructions limits it, and BPF has no
 * rotation: a state word that is held twice in 64 bits is rotated by one shift, and each word needs two more
 * rotations.
 */
#ifndef VIPD_SHA1_H
#define VIPD_SHA1_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

#define SHA1_WORDS 16
#define SHA1_BLOCK (SHA1_WORDS * 4)

#define SHA1_CHOOSE(b, c, d) ((d) ^ ((b) & ((c) ^ (d))))
#define SHA1_PARITY(b, c, d) ((b) ^ (c) ^ (d))
#define SHA1_MAJORITY(b, c, d) (((b) & (c)) + ((d) & ((b) ^ (c))))

/* Loaded each time: there are no registers for them, and a copy on the stack is not nearer. */
#define SHA1_WORD(t) (*(volatile __u32 *)&w[(t) & (SHA1_WORDS - 1)])

/* The word of round t: given, or computed from four earlier ones, in the place of the oldest. */
#define SHA1_GIVEN(t) SHA1_WORD(t)
#define SHA1_NEXT(t) sha1_next(w, t)

static __always_inline __u32 sha1_next(__u32 *w, int t)
{
	__u32 x = SHA1_WORD(t - 3) ^ SHA1_WORD(t - 8) ^ SHA1_WORD(t - 14) ^ SHA1_WORD(t);

	x = x << 1 | x >> 31;
	SHA1_WORD(t) = x;
	return x;
}

/*
 * One round: e += rotl(a, 5) + F(b, c, d) + K + W, and b is rotated by 30. a is doubled here, and is b in the
 * next round; of the others the lower half counts. OPAQUE: e is complete except for a, for which the next round
 * waits; a multiplication would double a in one instruction, but in three cycles.
 */
#define SHA1_ROUND(F, K, W, a, b, c, d, e)                                                         \
	do {                                                                                       \
		__u32 sum = (__u32)e + F((__u32)b, (__u32)c, (__u32)d) + (K) + (W);                \
		__u64 upper = a << 32;                                                             \
		OPAQUE(sum);                                                                       \
		OPAQUE(upper);                                                                     \
		a |= upper;                                                                        \
		OPAQUE(a);                                                                         \
		e = (__u32)(sum + (__u32)(a >> 27));                                               \
		b >>= 2;                                                                           \
		OPAQUE(b);                                                                         \
	} while (0)

#define SHA1_FIVE(F, K, W, t)                                                                      \
	do {                                                                                       \
		SHA1_ROUND(F, K, W(t), a, b, c, d, e);                                             \
		SHA1_ROUND(F, K, W((t) + 1), e, a, b, c, d);                                       \
		SHA1_ROUND(F, K, W((t) + 2), d, e, a, b, c);                                       \
		SHA1_ROUND(F, K, W((t) + 3), c, d, e, a, b);                                       \
		SHA1_ROUND(F, K, W((t) + 4), b, c, d, e, a);                                       \
	} while (0)

#define SHA1_TWENTY(F, K, t)                                                                       \
	do {                                                                                       \
		SHA1_FIVE(F, K, SHA1_NEXT, t);                                                     \
		SHA1_FIVE(F, K, SHA1_NEXT, (t) + 5);                                               \
		SHA1_FIVE(F, K, SHA1_NEXT, (t) + 10);                                              \
		SHA1_FIVE(F, K, SHA1_NEXT, (t) + 15);                                              \
	} while (0)

/* Folds the 16 words at w (host order) into the state h, and overwrites them. */
static __always_inline void sha1_block(__u32 *h, __u32 *w)
{
	__u64 a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	b |= b << 32;
	SHA1_FIVE(SHA1_CHOOSE, 0x5a827999, SHA1_GIVEN, 0);
	SHA1_FIVE(SHA1_CHOOSE, 0x5a827999, SHA1_GIVEN, 5);
	SHA1_FIVE(SHA1_CHOOSE, 0x5a827999, SHA1_GIVEN, 10);
	SHA1_ROUND(SHA1_CHOOSE, 0x5a827999, SHA1_GIVEN(15), a, b, c, d, e);
	SHA1_ROUND(SHA1_CHOOSE, 0x5a827999, SHA1_NEXT(16), e, a, b, c, d);
	SHA1_ROUND(SHA1_CHOOSE, 0x5a827999, SHA1_NEXT(17), d, e, a, b, c);
	SHA1_ROUND(SHA1_CHOOSE, 0x5a827999, SHA1_NEXT(18), c, d, e, a, b);
	SHA1_ROUND(SHA1_CHOOSE, 0x5a827999, SHA1_NEXT(19), b, c, d, e, a);
	SHA1_TWENTY(SHA1_PARITY, 0x6ed9eba1, 20);
	SHA1_TWENTY(SHA1_MAJORITY, 0x8f1bbcdc, 40);
	SHA1_TWENTY(SHA1_PARITY, 0xca62c1d6, 60);

	h[0] += (__u32)a;
	h[1] += (__u32)b;
	h[2] += (__u32)c;
	h[3] += (__u32)d;
	h[4] += (__u32)e;
}

#endif
