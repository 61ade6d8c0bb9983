/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SHA-1 block function (FIPS 180-4, 6.1.2). Fully unrolled with a circular schedule of 16
 * words: every index is then a constant, and nothing is checked or moved at run time.
 */
#ifndef VIPD_SHA1_H
#define VIPD_SHA1_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define SHA1_ROL(x, n) (((x) << (n)) | ((x) >> (32 - (n))))

#define SHA1_F1(b, c, d) ((d) ^ ((b) & ((c) ^ (d))))
#define SHA1_F2(b, c, d) ((b) ^ (c) ^ (d))
#define SHA1_F3(b, c, d) (((b) & (c)) + ((d) & ((b) ^ (c))))

#define SHA1_LOAD(t) (w[t])
#define SHA1_NEXT(t)                                                                               \
	(w[(t) & 15] = SHA1_ROL(w[((t) + 13) & 15] ^ w[((t) + 8) & 15] ^ w[((t) + 2) & 15] ^       \
					w[(t) & 15],                                               \
				1))

#define SHA1_ROUND(F, K, W, a, b, c, d, e)                                                         \
	do {                                                                                       \
		e += SHA1_ROL(a, 5) + F(b, c, d) + (K) + (W);                                      \
		b = SHA1_ROL(b, 30);                                                               \
	} while (0)

#define SHA1_FIVE(F, K, W, t)                                                                      \
	do {                                                                                       \
		SHA1_ROUND(F, K, W(t), a, b, c, d, e);                                             \
		SHA1_ROUND(F, K, W((t) + 1), e, a, b, c, d);                                       \
		SHA1_ROUND(F, K, W((t) + 2), d, e, a, b, c);                                       \
		SHA1_ROUND(F, K, W((t) + 3), c, d, e, a, b);                                       \
		SHA1_ROUND(F, K, W((t) + 4), b, c, d, e, a);                                       \
	} while (0)

/*
 * Folds the 16 words at w (host order) into the state h and leaves the schedule in w. volatile: else
 * clang 14 keeps too many words alive and overruns the BPF stack.
 * Returns h[0]: a value that is used keeps the compiler from leaving a stack pointer in R0, which
 * the verifier refuses.
 */
static __noinline __u32 sha1_block(__u32 *h, volatile __u32 *w)
{
	__u32 a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	SHA1_FIVE(SHA1_F1, 0x5a827999, SHA1_LOAD, 0);
	SHA1_FIVE(SHA1_F1, 0x5a827999, SHA1_LOAD, 5);
	SHA1_FIVE(SHA1_F1, 0x5a827999, SHA1_LOAD, 10);
	SHA1_ROUND(SHA1_F1, 0x5a827999, SHA1_LOAD(15), a, b, c, d, e);
	SHA1_ROUND(SHA1_F1, 0x5a827999, SHA1_NEXT(16), e, a, b, c, d);
	SHA1_ROUND(SHA1_F1, 0x5a827999, SHA1_NEXT(17), d, e, a, b, c);
	SHA1_ROUND(SHA1_F1, 0x5a827999, SHA1_NEXT(18), c, d, e, a, b);
	SHA1_ROUND(SHA1_F1, 0x5a827999, SHA1_NEXT(19), b, c, d, e, a);
	SHA1_FIVE(SHA1_F2, 0x6ed9eba1, SHA1_NEXT, 20);
	SHA1_FIVE(SHA1_F2, 0x6ed9eba1, SHA1_NEXT, 25);
	SHA1_FIVE(SHA1_F2, 0x6ed9eba1, SHA1_NEXT, 30);
	SHA1_FIVE(SHA1_F2, 0x6ed9eba1, SHA1_NEXT, 35);
	SHA1_FIVE(SHA1_F3, 0x8f1bbcdc, SHA1_NEXT, 40);
	SHA1_FIVE(SHA1_F3, 0x8f1bbcdc, SHA1_NEXT, 45);
	SHA1_FIVE(SHA1_F3, 0x8f1bbcdc, SHA1_NEXT, 50);
	SHA1_FIVE(SHA1_F3, 0x8f1bbcdc, SHA1_NEXT, 55);
	SHA1_FIVE(SHA1_F2, 0xca62c1d6, SHA1_NEXT, 60);
	SHA1_FIVE(SHA1_F2, 0xca62c1d6, SHA1_NEXT, 65);
	SHA1_FIVE(SHA1_F2, 0xca62c1d6, SHA1_NEXT, 70);
	SHA1_FIVE(SHA1_F2, 0xca62c1d6, SHA1_NEXT, 75);

	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
	return h[0] += a;
}

#endif
