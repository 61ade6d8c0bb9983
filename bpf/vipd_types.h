/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every structure that the BPF programs share with the agent. bpf2go turns them into Go types and
 * loader/object/layout_test.go compares both sides. Rules: fixed-width types, explicit zeroed padding, no unions
 * (bpf2go truncates them), no bitfields. Addresses are 16 bytes, IPv4 as v4-mapped.
 *
 * All integers are in host byte order unless the name ends in _be. Times are CLOCK_BOOTTIME ns.
 */
#ifndef VIPD_TYPES_H
#define VIPD_TYPES_H

#include <linux/bpf.h>
#include <linux/types.h>

#define MAX_GROUPS 256	  /* this, MAX_VIPS and MAX_SOURCES are replaced by what the config needs */
#define MAX_PLACES 32768 /* a power of two */
#define MAX_VIPS 1024
#define VIP_PLACE_BITS 15 /* there are 2^VIP_PLACE_BITS */
#define MAX_IFACES 4096
#define MAX_SOURCES 4096
#define MAX_CONTEXTS 8
#define MAX_OWN_SOURCES 4
#define MAX_SENT 8
#define EVENTS_BYTES (1 << 20)

/* Raised with every incompatible change of a pinned layout; the loader compares it. */
#define LAYOUT_VERSION 9

#define ROLE_INIT 1
#define ROLE_BACKUP 2
#define ROLE_MASTER 3
#define ROLE_MASK 3
#define ROLE_SHIFT 2

/* Why an advert of one of our groups was rejected: index into group_stats.rejected. */
enum reject {
	REJECT_NONE,
	REJECT_BAD_TTL,
	REJECT_BAD_VERSION,
	REJECT_BAD_LENGTH,
	REJECT_BAD_CHECKSUM,
	REJECT_BAD_HMAC,
	REJECT_LOOP,
	REJECT_REPLAY,
	REJECT_RATE_LIMITED,
	REJECT_WRONG_FAMILY,
	REJECT_BAD_TRAILER,
	REJECT_SIZE = 16,
};

/* What proves that a vipd node sent exactly this advert, see trailer.h. */
enum proof {
	PROOF_NONE,    /* it has no trailer */
	PROOF_CLAIMED, /* it has one, whose tag was not found right */
	PROOF_VALID,
};

/* Why a frame other than a rejected advert was dropped: index into group_stats.dropped. */
enum dropped {
	DROP_NOT_ANSWERING_ARP,
	DROP_NOT_ANSWERING_MAC,
	DROP_EGRESS_ARP,
	DROP_EGRESS_IP,
	DROP_EGRESS_ADVERT,
	DROP_UNICAST_ADVERT, /* accepted; the stack would answer "unreachable" */
	DROP_NOT_ANSWERING_ND,
	DROP_EGRESS_ND,
	DROP_SIZE = 8,
};

/* Frames on an interface that belong to none of our groups: index into if_stats.count. */
enum if_count {
	IF_BAD_VHID,
	IF_FOREIGN_VRRP,
	IF_BAD_LENGTH, /* proto 112 too short to hold a VHID */
	IF_TAGS_LOST,  /* dropped: a frame of a VLAN whose tags cannot be put back */
	IF_COUNT_SIZE = 8,
};

/* groups: which group owns a VHID on an interface. */
struct group_key {
	__u32 ifindex;
	__u8 vhid;
	__u8 pad[3];
};
_Static_assert(sizeof(struct group_key) == 8, "group_key");

/*
 * vlans: the VLAN device, by index, that the tags of a frame on its parent belong to. A VLAN with one tag has it
 * in outer, and inner is 0.
 */
struct vlan_key {
	__u32 ifindex;
	__be16 outer_proto_be;
	__u16 outer;
	__be16 inner_proto_be;
	__u16 inner;
};
_Static_assert(sizeof(struct vlan_key) == 12, "vlan_key");

#define GROUP_V4 1 /* has IPv4 addresses, so that IPv4 adverts are expected */
#define GROUP_V6 2
#define GROUP_TTL_ANY 4 /* adverts of unicast peers may have passed a router */
#define GROUP_REQUIRE_TRAILER 8
#define GROUP_STRICT_REPLAY 16
#define GROUP_TRAILERS 32 /* we send them under every context */

struct group_val {
	__u32 slot;
	__u8 nic_mac[6];
	__u16 flags;	/* GROUP_* */
	__u32 memory_s; /* how long a silent peer has to prove itself; 0: for ever */
};
_Static_assert(sizeof(struct group_val) == 16, "group_val");

/* places: a group where one load finds it, see place.h. */
struct place {
	struct group_key key __attribute__((aligned(8))); /* loaded as one word; all 0: none */
	struct group_val val;
};
_Static_assert(sizeof(struct place) == 24, "place");

/* vips: which group owns an address on an interface. */
struct vip_key {
	__u8 addr[16] __attribute__((aligned(8))); /* compared in 8-byte steps */
	__u32 ifindex;
	__u32 pad;
};
_Static_assert(sizeof(struct vip_key) == 24, "vip_key");

#define VIP_ROUTER 1 /* this host forwards IPv6 */

struct vip_val {
	__u32 group;
	__u32 vip;
	__u8 vhid;
	__u8 nic_mac[6];
	__u8 flags; /* VIP_* */
};
_Static_assert(sizeof(struct vip_val) == 16, "vip_val");

/* vip_places: an address where one load finds it, see place.h. A cache line. */
struct vip_place {
	__u64 where; /* the last word of the key; 0: none */
	__u64 addr[2];
	struct vip_val val __attribute__((aligned(8)));
	__u64 more; /* how many other addresses share this entry and are only in vips */
	__u64 pad[2];
};
_Static_assert(sizeof(struct vip_place) == 64, "vip_place");

/* One advert that we sent, to recognise a loop. */
struct sent {
	__u64 counter;
	__u32 digest[5];
	__u32 prio; /* like role.sent_prio */
};
_Static_assert(sizeof(struct sent) == 32, "sent");

/* roles: written by the agent through mmap, each u64 with one atomic store; noted and doubted by XDP. */
struct role {
	__u64 role_gen;   /* generation << 2 | ROLE_* */
	__u64 lease;	  /* answering until */
	__u64 send_until; /* of a claim: until then its adverts may leave, and only a superior advert makes it yield */
	__u64 sent_prio;  /* advbase << 16 | skew << 8 | demote, as last sent */
	__u64 auth_index; /* which of the two auth entries is live */
	__u64 n_src;
	__u8 src[MAX_OWN_SOURCES][16];
	struct sent sent[MAX_SENT];
	__u64 own_number; /* no advert from our addresses with this number or a lower one is new */
	__u64 own_sent;	  /* the number of our last advert for the group that left; 0: none */
	__u64 settled[2]; /* IPv4, IPv6: time of the advert whose repetitions are withheld (repeat.h); 0: none */
	__u64 no_room_at;   /* like seen.no_room_at, of peers that the agent could not bring back */
	__u64 forgotten_at; /* what seen.no_room_at says of the time up to then does not count */
	__u64 noted;	  /* the last seen.count: the agent reads a seen entry only if this or the next one has changed */
	__u64 doubted;	  /* when seen.limited_at or seen.no_room_at last changed */
	__u64 pad[2];	  /* whole cache lines: a renewal disturbs no other group */
};
_Static_assert(sizeof(struct role) == 448, "role");

/*
 * One accepted key and address set. tmpl is the rest of the inner message after its last whole block: a hole of
 * 8 zero bytes at off for the counter, then SHA-1's padding and length, as words in host order so that the
 * kernel swaps nothing.
 */
struct auth_context {
	__u32 inner[5];
	__u32 outer[5];
	__u32 tmpl[32] __attribute__((aligned(8))); /* copied in 8-byte steps */
	__u32 off;     /* 0..63 */
	__u32 nblocks; /* 1 or 2 */
	__u64 trailer_key[2]; /* of SipHash, see trailer.h */
	__u32 trailers;	      /* trailer_key is set */
	__u32 pad;
};
_Static_assert(sizeof(struct auth_context) == 200, "auth_context");

struct auth {
	__u32 n;
	__u32 pad;
	struct auth_context ctx[MAX_CONTEXTS];
};
_Static_assert(sizeof(struct auth) == 1608, "auth");

/* seen: the last authentic foreign advert, and the generation that has yielded to one. */
struct seen {
	struct bpf_spin_lock lock;
	__u32 ifindex;
	__u64 at;
	__u64 generation; /* role generation when it was received */
	__u64 counter;
	__u64 count;
	__u8 src[16];
	__u8 src_mac[6];
	__u8 vhid;
	__u8 advbase;
	__u8 advskew;
	__u8 demote;
	__u8 ttl;
	__u8 ctx;
	__u8 flags; /* EVENT_* */
	__u8 told_n; /* this and what begins with told: news.h */
	__u16 beat; /* like event.beat */
	__u64 yielded_gen; /* only ever rises */
	__u64 limited_at;  /* when a budget last ran out, to within LIMITED_GRAIN_NS */
	__u64 claimed;	   /* send_until of the claim whose advert left; only egress writes it */
	__u64 told_at;	   /* when the span of the events that told_n counts began, */
	__u32 told_said;   /* and what the last one said */
	__u16 told_gen;
	__u16 told_beat;
	__u64 highest; /* number that a vipd node proved; 0: none */
	__u64 no_room_at; /* when the map of peers last had no room for one that proved itself; 0: never */
};
_Static_assert(sizeof(struct seen) == 128, "seen");

/* heard: the adverts of a group and family that were withheld from the agent (repeat.h). */
struct heard {
	__u64 at;      /* of the last one; 0: none */
	__u64 counter; /* of the last one */
	__u64 told_at; /* the last advert that the agent was told: when, */
	__u8 src[16];  /* by whom */
	__u32 said;    /* and what */
	__u32 beat;
};
_Static_assert(sizeof(struct heard) == 48, "heard");

/* sources and peers: one sender of a group. */
struct source_key {
	__u32 slot;
	__u8 src[16];
};
_Static_assert(sizeof(struct source_key) == 20, "source_key");

#define SOURCE_DEMOTE_EVER 1
#define SOURCE_COUNTER_VARIES 2
#define SOURCE_COUNTER_STAYS 4

#define SOURCE_TICK 26 /* since counts in 2^26 ns, 67 ms */

/* sources: what is known about one that sends no trailers. */
struct source_val {
	__u64 counter;
	__u64 jump_at;	   /* for this and the rest see replay.h */
	__u32 flags;
	__u32 interval_us; /* as last stated, except in goodbyes */
	__u8 rises;
	__u8 jumps;
	__u16 since; /* when the counter last changed, in ticks that wrap after 73 minutes */
	__u32 pad;
};
_Static_assert(sizeof(struct source_val) == 32, "source_val");

/* peers: what is known about one that has proven itself to be a vipd node. */
struct peer_val {
	__u64 number;	   /* of its last advert */
	__u64 at;	   /* when that was received */
	__u32 flags;	   /* SOURCE_DEMOTE_EVER */
	__u32 interval_us; /* as last stated, except in goodbyes */
	__u64 hello;	   /* number of its last hello; 0: none */
	__u64 hello_at;
	__u64 pace;	   /* the number that was expected at that time, if the last one was late */
	__u64 told_at;	   /* when the agent was last told of an advert for another list of addresses; 0: never */
};
_Static_assert(sizeof(struct peer_val) == 56, "peer_val");

/* scratch: a block of SHA-1 and the advert in progress, more than fits on the stack. */
struct scratch {
	__u64 w[10]; /* a block and what follows it */
	__u64 advert[14]; /* struct advert of accept.h */
	__u64 busy;	  /* a program on this CPU is using it */
};
_Static_assert(sizeof(struct scratch) == 200, "scratch");

/* clock: this CPU's last reading of the clock, see clock.h. */
struct clock {
	__u64 tick; /* jiffies then; 0: none */
	__u64 at;
};
_Static_assert(sizeof(struct clock) == 16, "clock");

struct group_stats {
	__u64 received; /* authentic adverts of others */
	__u64 packets;	/* frames to the virtual MAC, delivered */
	__u64 bytes;
	__u64 events_lost;
	__u64 yields;
	__u64 own_counter;  /* authentic adverts of others with a counter that we sent */
	__u64 foreign_vrrp; /* on our VHID */
	__u64 hellos;	    /* accepted */
	__u64 no_room;	    /* adverts and hellos of peers for which the map had no room */
	__u64 rejected[REJECT_SIZE];
	__u64 dropped[DROP_SIZE];
	__u64 contexts[MAX_CONTEXTS]; /* received, by matching context */
};
_Static_assert(sizeof(struct group_stats) == 328, "group_stats");

#define MAX_ASKED 4

/* One client's requests, see unseen.h. */
struct asked {
	__u32 asker;
	__u32 repeats;
	__u64 at;
};
_Static_assert(sizeof(struct asked) == 16, "asked");

struct vip_stats {
	__u64 arp_requests; /* for the VIP, without gratuitous ones */
	__u64 arp_replies;
	__u64 arp_suppressed;
	__u64 arp_gratuitous;
	__u64 nd_solicitations;
	__u64 nd_advertisements;
	__u64 nd_suppressed;
	__u64 unseen_at; /* when a client last seemed not to see our answers; 0: never */
	struct asked asked[MAX_ASKED];
	__u64 claims;	   /* messages that give the VIP to another MAC, see claim.h */
	__u64 claims_told; /* claims reported to the agent */
	__u64 claim_at;	   /* when the last one was reported; 0: never */
	__u8 claim_mac[6]; /* and its MAC */
	__u8 pad[2];
};
_Static_assert(sizeof(struct vip_stats) == 160, "vip_stats");

struct if_stats {
	__u64 count[IF_COUNT_SIZE];
};
_Static_assert(sizeof(struct if_stats) == 64, "if_stats");

/* budget: when the next digest of each class, the next claim and the next hello may come (budget.h). */
struct budget {
	__u64 class1;
	__u64 class2;
	__u64 claims;
	__u64 hellos;
};
_Static_assert(sizeof(struct budget) == 32, "budget");

#define EVENT_YIELDED 1
#define EVENT_DEMOTE_AWARE 2
#define EVENT_DEMOTE_EVER 4
#define EVENT_OWN_COUNTER 8
#define EVENT_PROVEN 16

/* events: one authentic advert of another node. */
struct event {
	__u64 at;
	__u64 generation;
	__u64 counter;
	__u32 ifindex;
	__u32 slot;
	__u8 src[16];
	__u8 src_mac[6];
	__u8 vhid;
	__u8 advbase;
	__u8 advskew;
	__u8 demote;
	__u8 ttl;
	__u8 ctx;
	__u8 flags;
	__u8 pad;
	__u16 beat; /* the next advert comes within so many microseconds; 0: within the interval */
};
_Static_assert(sizeof(struct event) == 64, "event");

/*
 * events: also an ARP or ND message that gives a VIP to another MAC. Its length distinguishes it from an event.
 */
struct claim {
	__u64 at;
	__u32 ifindex;
	__u32 slot;
	__u8 addr[16];
	__u8 mac[6];	 /* in the message */
	__u8 src_mac[6]; /* of the frame */
	__u32 count;	 /* claims of the address since the last one reported */
	__u8 vhid;
	__u8 pad[7];
};
_Static_assert(sizeof(struct claim) == 56, "claim");

#define HELLO_MAX 512

/*
 * events: also a hello of another vipd node, see hello.h. Its length distinguishes it, too. len is 0 for a node that has
 * proven itself by an advert for another list of addresses (prove.h): data then begins with its number.
 */
struct hello {
	__u64 at;
	__u32 ifindex;
	__u32 slot;
	__u8 src[16];
	__u8 src_mac[6];
	__u8 vhid;
	__u8 ctx;
	__u16 len; /* of data */
	__u16 pad;
	__u32 pad2;
	__u8 data[HELLO_MAX] __attribute__((aligned(8)));
};
_Static_assert(sizeof(struct hello) == 560, "hello");

/* tap: a frame that was consumed, judged or sent for a group (tap.h). What happened to it: */
enum tap_what {
	TAP_AUTHENTIC, /* advert that counts; flags: EVENT_* */
	TAP_REJECTED,  /* advert; why: enum reject */
	TAP_DROPPED,   /* why: enum dropped */
	TAP_FOREIGN_VRRP,
	TAP_ADVERT_SENT,
	TAP_ARP_REQUEST, /* for a VIP of ours, and answered */
	TAP_ARP_REPLY,	 /* by XDP */
	TAP_ARP_GRATUITOUS, /* an announcement of the VIP */
	TAP_ARP_SENT,	    /* from a VIP, by this host */
	TAP_ND_SOLICITATION,
	TAP_ND_ADVERTISEMENT,
	TAP_ND_SENT,
	TAP_CLAIM, /* another host gives the VIP to another MAC */
};

/* Each class has its own budget, so that a flood hides nothing more important. */
enum tap_class {
	TAP_CLASS_HEARD, /* authentic adverts */
	TAP_CLASS_SENT,	 /* ours */
	TAP_CLASS_CHEAP, /* rejected without a digest */
	TAP_CLASS_DIGEST, /* rejected by the digest, or after it */
	TAP_CLASS_NEIGHBOUR, /* ARP and ND that we answer */
	TAP_CLASS_ANNOUNCED, /* gratuitous, and from a VIP */
	TAP_CLASS_DROPPED,
	TAP_CLASS_TURN, /* adverts that end a role: goodbyes, and what made us yield */
	TAP_CLASSES,
};

struct tap_used {
	__u32 epoch;
	__u32 pad;
	__u16 left[TAP_CLASSES]; /* in this epoch */
	__u64 skipped; /* frames beyond the budget */
	__u64 lost;    /* samples that found the ring full */
};
_Static_assert(sizeof(struct tap_used) == 40, "tap_used");

#define TAP_BYTES 128
#define TAP_RING_BYTES (1 << 20)

struct tap_sample {
	__u64 at;
	__u32 ifindex;
	__u32 slot;
	__u32 len; /* of the frame */
	__u16 caplen; /* of data */
	__u16 vlan;
	__u8 what;  /* enum tap_what */
	__u8 why;   /* enum reject or enum dropped */
	__u8 flags; /* EVENT_* */
	__u8 pad;
	__u8 pad2[4];
	__u8 data[TAP_BYTES];
};
_Static_assert(sizeof(struct tap_sample) == 160, "tap_sample");

/* ifaces: what the loader attached, for the next process after a crash. */
#define IFACE_CLSACT_FILTER 1
#define IFACE_CLSACT_QDISC 2 /* vipd also added the qdisc */
#define IFACE_RXVLAN 4 /* rx-vlan-offload was on, to be restored */
#define IFACE_CARRIER 8 /* attached only for VLANs on it */
#define IFACE_INGRESS 16 /* a clsact filter stands in for XDP */
#define IFACE_RXSTAG 32 /* rx-vlan-stag-hw-parse was on, to be restored */
#define IFACE_BOTH 64 /* XDP and its stand-in are both attached */
#define IFACE_FELL_BACK 128 /* clients did not see what native mode sent */

struct iface {
	__u32 flags;
	__u32 parent; /* whose XDP program serves this VLAN device; 0: its own */
};
_Static_assert(sizeof(struct iface) == 8, "iface");

struct meta {
	__u32 layout;
	__u32 pad;
};
_Static_assert(sizeof(struct meta) == 8, "meta");

#endif
