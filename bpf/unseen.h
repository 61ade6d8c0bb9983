/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Detects that our answers do not reach the client. A client that got an answer stops asking, or asks only the
 * virtual MAC; one that keeps asking by broadcast, again and again soon after each answer, got none. This is
 * what native XDP_TX looks like on a driver that loses it silently.
 */
#ifndef VIPD_UNSEEN_H
#define VIPD_UNSEEN_H

#include "clock.h"
#include "maps.h"

/* Hosts ask once a second (RFC 4861 RETRANS_TIMER; Linux and the BSDs do so for ARP, too). */
#define UNSEEN_GAP_NS 1500000000ull
#define UNSEEN_REPEATS 3

/*
 * Notes a request that is answered. asker identifies the client; it is 0 for a probe, which every host sends
 * several times. Clients that share an entry only hide each other.
 */
static __always_inline int note_asked(struct vip_stats *st, __u32 asker, __u32 everybody)
{
	struct asked *a;
	__u64 now;

	if (!st || !asker)
		return 0;
	now = recently();
	a = &st->asked[(asker ^ asker >> 8 ^ asker >> 16 ^ asker >> 24) & (MAX_ASKED - 1)];
	if (a->asker != asker || now - a->at > UNSEEN_GAP_NS)
		a->repeats = 0;
	else if (++a->repeats >= UNSEEN_REPEATS && everybody)
		st->unseen_at = now;
	a->asker = everybody ? asker : 0; /* a client that asks by unicast knows where we are */
	a->at = now;
	return 0;
}

#endif
