/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sealed adverts: the counter of a vipd node carries a sequence (bits 63..32), a tag that binds it to source and
 * priority (31..16) and a tag that identifies it (15..0). See docs/sealed-adverts.md; agent/wire/seal.go is the
 * other side. SipHash-2-4 of fixed messages.
 */
#ifndef VIPD_SEAL_H
#define VIPD_SEAL_H

#include "maps.h"
#include "parse.h"

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

/* Over the sequence, big-endian: four bytes. */
static __always_inline __u16 recognise_tag(const __u64 key[2], __u32 seq)
{
	struct sip s;

	sip_begin(&s, key);
	sip_absorb(&s, 4ull << 56 | __builtin_bswap32(seq));
	return sip_end(&s);
}

/* Over sequence, advbase, advskew, demote, a zero and the source: 24 bytes. */
static __always_inline __u16 bind_tag(const __u64 key[2], __u32 seq, const struct event *ev)
{
	struct sip s;

	sip_begin(&s, key);
	sip_absorb(&s, (__u64)__builtin_bswap32(seq) | (__u64)ev->advbase << 32 |
			       (__u64)ev->advskew << 40 | (__u64)ev->demote << 48);
	sip_absorb(&s, sip_word(ev->src));
	sip_absorb(&s, sip_word(ev->src + 8));
	sip_absorb(&s, 24ull << 56);
	return sip_end(&s);
}

/*
 * What the counter of an authentic advert is under the matching context: enum seal. A tag has 16 bits, so one in
 * 65536 ordinary counters looks like a broken seal: that advert is lost, but not the next (for OpenBSD's
 * constant counter see docs/sealed-adverts.md). For a context that seals. Global: verified once.
 */
__noinline int open_seal(const struct auth_context *c, const struct event *ev)
{
	__u32 seq;

	if (!c || !ev)
		return SEAL_NONE;
	seq = ev->counter >> 32;
	if ((__u16)ev->counter != recognise_tag(c->recognise, seq))
		return SEAL_NONE;
	return (__u16)(ev->counter >> 16) == bind_tag(c->bind, seq, ev) ? SEAL_VALID : SEAL_BROKEN;
}

/* Serial number arithmetic (RFC 1982): the sequence may wrap. */
static __always_inline int sequence_rises(__u32 last, __u32 next)
{
	return (__s32)(next - last) > 0;
}

#endif
