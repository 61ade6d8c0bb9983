/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An interface that returns from tc ingress to XDP has both programs for a moment, so that no frame misses both.
 * XDP comes first. What it answers or drops gets no further, and a frame to the virtual MAC has another address
 * then; but an advert that counts is passed on, and must not count twice.
 */
#ifndef VIPD_TWICE_H
#define VIPD_TWICE_H

#include "maps.h"
#include "parse.h"
#include "role.h"

#ifdef VIPD_INGRESS

/* Uses the seen entry: no source says the same twice within half an interval. */
static __always_inline int is_taken(const struct event *ev, const struct seen *s)
{
	/* On the stack: verifiers before 6.2 accept no key from an argument of a global function. */
	__u32 ifindex = ev->ifindex;
	struct iface *f = bpf_map_lookup_elem(&ifaces, &ifindex);

	return f && f->flags & IFACE_BOTH && s->counter == ev->counter && same_addr(s->src, ev->src) &&
	       s->advbase == ev->advbase && s->advskew == ev->advskew && s->demote == ev->demote &&
	       ev->at - s->at < interval_us(ev->advbase, ev->advskew) * 500ull;
}

#else

static __always_inline int is_taken(const struct event *ev, const struct seen *s)
{
	(void)ev;
	(void)s;
	return 0;
}

#endif

#endif
