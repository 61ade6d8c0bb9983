/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How tc programs access a frame, of which only a part may be linear. */
#ifndef VIPD_SKB_H
#define VIPD_SKB_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static __always_inline int has(struct __sk_buff *skb, __u32 len)
{
	return (void *)(long)skb->data + len <= (void *)(long)skb->data_end;
}

/* Makes the first len bytes accessible; 0 if the frame is shorter. */
static __always_inline int pull(struct __sk_buff *skb, __u32 len)
{
	if (has(skb, len))
		return 1;
	if (skb->len < len)
		return 0;
	bpf_skb_pull_data(skb, len);
	return has(skb, len);
}

#endif
