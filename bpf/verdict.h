/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a handler of the XDP program may return besides the XDP verdicts. */
#ifndef VIPD_VERDICT_H
#define VIPD_VERDICT_H

/* Not for this handler: try the next one, and pass in the end. */
#define VERDICT_NEXT (-1)

#endif
