/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tap: samples of the frames that the programs consume, judge or send for a group, for the flight recorder
 * and vipctl capture. It never changes a verdict and never wakes the agent.
 *
 * Each drain by the agent begins an epoch, in which every group has a number of samples per class and CPU;
 * counting them needs no clock. Without an agent no epoch begins, and the tap is shut.
 */
#ifndef VIPD_TAP_H
#define VIPD_TAP_H

#include "maps.h"
#include "parse.h"
#include "role.h"

/* Writer: agent. 0: the tap has never been drained and is shut. */
volatile __u32 tap_epoch = 0;

/*
 * Samples of each class in an epoch. For adverts: the shortest interval, over an epoch of 250 ms. Captures are
 * bounded too.
 */
#define TAP_ADVERTS 72
#define TAP_OTHERS 16
#define TAP_CAPTURE 160

/* What a sample has beside its frame, in one word: a global function takes few arguments. */
#define TAP_SAID(what, why) ((__u32)(what) | (__u32)(why) << 8)
#define TAP_FLAGS(flags) ((__u32)(flags) << 16)

/* Begins the epoch for a group on this CPU. Global, since it is off the hot path. */
__noinline int tap_refill(__u32 slot)
{
	struct tap_used *u = bpf_map_lookup_elem(&tap_used, &slot);
	__u32 *capture = bpf_map_lookup_elem(&tap_capture, &slot);
	__u32 i, n;

	if (!u || !capture)
		return 0;
	u->epoch = tap_epoch;
	for (i = 0; i < TAP_CLASSES; i++) {
		n = i <= TAP_CLASS_SENT ? TAP_ADVERTS : TAP_OTHERS;
		if (READ_ONCE(*capture))
			n = TAP_CAPTURE;
		u->left[i] = u->epoch ? n : 0;
	}
	return 1;
}

/* Whether a frame may be sampled; if so, it is charged. */
static __always_inline int tap_open(__u32 slot, enum tap_class class)
{
	struct tap_used *u = bpf_map_lookup_elem(&tap_used, &slot);

	if (!u)
		return 0;
	if (u->epoch != tap_epoch)
		tap_refill(slot);
	if (!u->left[class]) {
		u->skipped++;
		return 0;
	}
	u->left[class]--;
	return 1;
}

/* Copies the beginning of a frame and returns its length. */
static __always_inline __u32 tap_copy(struct tap_sample *s, const __u8 *p, const void *end)
{
	__u64 *w = (__u64 *)s->data;
	__u32 i, n;

	for (i = 0; i < TAP_BYTES / 8; i++) {
		OPAQUE(p);
		if ((void *)(p + 8) > end)
			break;
		w[i] = *(const __u64 *)p;
		p += 8;
	}
	for (n = i * 8; n < TAP_BYTES; n++) {
		OPAQUE(p);
		if ((void *)(p + 1) > end)
			break;
		s->data[n] = *p++;
	}
	return n;
}

/* If the ring is full, the sample is lost and counted. */
static __always_inline struct tap_sample *tap_reserve(__u32 slot, __u32 said, __u64 at)
{
	struct tap_sample *s = bpf_ringbuf_reserve(&tap, sizeof(*s), 0);
	struct tap_used *u;
	__u32 zero = 0;
	__u64 *lost;

	if (!s) {
		lost = bpf_map_lookup_elem(&tap_lost, &zero);
		if (lost)
			*lost += 1;
		u = bpf_map_lookup_elem(&tap_used, &slot);
		if (u)
			u->lost++;
		return 0;
	}
	s->at = at ? at : bpf_ktime_get_boot_ns();
	s->slot = slot;
	s->what = said;
	s->why = said >> 8;
	s->flags = said >> 16;
	s->pad = 0;
	return s;
}

/* Takes a sample of a frame that came in, as it is now. at: its receive time, 0 if not known. */
__noinline int tap_in(PACKET *ctx, __u32 slot, __u32 said, __u64 at)
{
	struct tap_sample *s = tap_reserve(slot, said, at);

	if (!s)
		return 0;
	s->ifindex = ctx->ingress_ifindex;
	s->vlan = 0; /* tags are in the frame, or removed while a handler has it */
	s->len = frame_length(ctx);
	s->caplen = tap_copy(s, frame(ctx), frame_end(ctx));
	bpf_ringbuf_submit(s, BPF_RB_NO_WAKEUP);
	return 1;
}

/* The same for an outgoing frame. Only the linear part: the headers, which are pulled by then. */
__noinline int tap_out(struct __sk_buff *skb, __u32 slot, __u32 said)
{
	struct tap_sample *s = tap_reserve(slot, said, 0);

	if (!s)
		return 0;
	s->ifindex = skb->ifindex;
	s->vlan = skb->vlan_present ? skb->vlan_tci & 0xfff : 0;
	s->len = skb->len;
	s->caplen = tap_copy(s, (void *)(long)skb->data, (void *)(long)skb->data_end);
	bpf_ringbuf_submit(s, BPF_RB_NO_WAKEUP);
	return 1;
}

static __always_inline void tap_xdp(PACKET *ctx, __u32 slot, enum tap_class class, __u32 said)
{
	if (tap_open(slot, class))
		tap_in(ctx, slot, said, 0);
}

static __always_inline void tap_egress(struct __sk_buff *skb, __u32 slot, enum tap_class class,
				       __u32 said)
{
	if (tap_open(slot, class))
		tap_out(skb, slot, said);
}

#endif
