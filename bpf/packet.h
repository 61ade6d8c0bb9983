/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The packet that the handlers work on. They are compiled twice: for XDP, and for tc ingress, which stands in if
 * another program has the XDP slot (ingress.bpf.c).
 */
#ifndef VIPD_PACKET_H
#define VIPD_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#ifdef VIPD_INGRESS
#define PACKET struct __sk_buff
#else
#define PACKET struct xdp_md
#endif

static __always_inline void *frame(const PACKET *ctx)
{
	return (void *)(long)ctx->data;
}

static __always_inline void *frame_end(const PACKET *ctx)
{
	return (void *)(long)ctx->data_end;
}

#ifdef VIPD_INGRESS

static __always_inline __u64 frame_length(const PACKET *ctx)
{
	return ctx->len;
}

/* Changes the length of the frame, at its end; pointers into it become invalid. 0: done. */
static __always_inline int resize(PACKET *ctx, __u32 len)
{
	return bpf_skb_change_tail(ctx, len, 0);
}

/* The frame to a virtual MAC, rewritten to the NIC's, is the host's own. */
static __always_inline void deliver(PACKET *ctx)
{
	bpf_skb_change_type(ctx, PACKET_HOST);
}

/* Replaces the NIC's checksum of what follows the Ethernet header by that of len bytes now. */
static __always_inline void resum(PACKET *ctx, void *l3, __u32 len)
{
	__s64 had = bpf_csum_update(ctx, 0), sum;

	if (had < 0) /* it has none */
		return;
	sum = bpf_csum_diff(0, 0, l3, len, 0);
	sum = (__u32)sum + (__u64)(__u32)~had;
	bpf_csum_update(ctx, (__u32)((sum & 0xffffffff) + (sum >> 32)));
}

#else

/*
 * Whether frames may come in several buffers, and with that bpf_xdp_get_buff_len (kernel 5.18) exists. The
 * loader sets it; the verifier removes the branch that is not taken.
 */
const volatile __u32 cfg_buff_len = 1;

static __always_inline __u64 frame_length(PACKET *ctx)
{
	if (cfg_buff_len)
		return bpf_xdp_get_buff_len(ctx);
	return frame_end(ctx) - frame(ctx);
}

static __always_inline int resize(PACKET *ctx, __u32 len)
{
	int delta = (int)len - (int)(frame_end(ctx) - frame(ctx));

	return delta ? bpf_xdp_adjust_tail(ctx, delta) : 0;
}

/* Generic mode checks the address again, and real drivers only after XDP. */
static __always_inline void deliver(PACKET *ctx)
{
	(void)ctx;
}

static __always_inline void resum(PACKET *ctx, void *l3, __u32 len)
{
	(void)ctx;
	(void)l3;
	(void)len;
}

#endif

#endif
