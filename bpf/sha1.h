/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SHA-1 block function (FIPS 180-4, 6.1.2). Five rounds bring the five state words back to
 * their places, so a body of five needs no moves; looping over it keeps the code within the CPU's
 * decoded-instruction cache, which fully unrolled code (10 KiB) overruns at half the speed.
 */
#ifndef VIPD_SHA1_H
#define VIPD_SHA1_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define SHA1_ROUNDS 80
#define SHA1_BLOCK 64

#define SHA1_ROL(x, n) (((x) << (n)) | ((x) >> (32 - (n))))

#define SHA1_CHOOSE(b, c, d) ((d) ^ ((b) & ((c) ^ (d))))
#define SHA1_PARITY(b, c, d) ((b) ^ (c) ^ (d))
#define SHA1_MAJORITY(b, c, d) (((b) & (c)) + ((d) & ((b) ^ (c))))

/* The word of round t, counted from w: given, or made from four before it and kept. */
#define SHA1_GIVEN(t) (w[t])
#define SHA1_NEXT(t)                                                                               \
	(w[t] = SHA1_ROL(w[(t) - 3] ^ w[(t) - 8] ^ w[(t) - 14] ^ w[(t) - 16], 1))

#define SHA1_ROUND(F, K, W, a, b, c, d, e)                                                         \
	do {                                                                                       \
		e += SHA1_ROL(a, 5) + F(b, c, d) + (K) + (W);                                      \
		b = SHA1_ROL(b, 30);                                                               \
	} while (0)

#define SHA1_FIVE(F, K, W)                                                                         \
	do {                                                                                       \
		SHA1_ROUND(F, K, W(0), a, b, c, d, e);                                             \
		SHA1_ROUND(F, K, W(1), e, a, b, c, d);                                             \
		SHA1_ROUND(F, K, W(2), d, e, a, b, c);                                             \
		SHA1_ROUND(F, K, W(3), c, d, e, a, b);                                             \
		SHA1_ROUND(F, K, W(4), b, c, d, e, a);                                             \
		w += 5;                                                                            \
	} while (0)

/*
 * Its end is a jump backwards. Of a for loop the compiler may lay out the end before the beginning and fall
 * through, which verifiers before 6.7 refuse ("back-edge").
 */
#define SHA1_LOOP(n, F, K, W)                                                                      \
	i = 0;                                                                                     \
	_Pragma("clang loop unroll(disable)") do                                                   \
	{                                                                                          \
		SHA1_FIVE(F, K, W);                                                                \
	}                                                                                          \
	while (++i < (n))

/*
 * Folds the 16 words at w (host order) into the state h. w has room for SHA1_ROUNDS words and is
 * overwritten behind the 16th. Returns h[0]: a value that is used keeps the compiler from leaving a
 * stack pointer in R0, which the verifier refuses.
 */
static __noinline __u32 sha1_block(__u32 *h, __u32 *w)
{
	__u32 a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], i;

	SHA1_LOOP(3, SHA1_CHOOSE, 0x5a827999, SHA1_GIVEN);
	SHA1_ROUND(SHA1_CHOOSE, 0x5a827999, SHA1_GIVEN(0), a, b, c, d, e);
	SHA1_ROUND(SHA1_CHOOSE, 0x5a827999, SHA1_NEXT(1), e, a, b, c, d);
	SHA1_ROUND(SHA1_CHOOSE, 0x5a827999, SHA1_NEXT(2), d, e, a, b, c);
	SHA1_ROUND(SHA1_CHOOSE, 0x5a827999, SHA1_NEXT(3), c, d, e, a, b);
	SHA1_ROUND(SHA1_CHOOSE, 0x5a827999, SHA1_NEXT(4), b, c, d, e, a);
	w += 5;
	SHA1_LOOP(4, SHA1_PARITY, 0x6ed9eba1, SHA1_NEXT);
	SHA1_LOOP(4, SHA1_MAJORITY, 0x8f1bbcdc, SHA1_NEXT);
	SHA1_LOOP(4, SHA1_PARITY, 0xca62c1d6, SHA1_NEXT);

	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
	return h[0] += a;
}

#endif
