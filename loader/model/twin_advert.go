// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // CARP
	"encoding/binary"
	"net/netip"
	"slices"

	"vipd/loader/tables"
)

// twinAdvert is protocol 112 in its packet.
type twinAdvert struct {
	w        *twinWorld
	g        *twinGroup
	c        twinClock
	frame, p []byte
	src, dst netip.Addr
	plen     int // as the IP header has it
	ttl      uint8
	pseudo   []byte
	header   []byte // of IPv4, which has a sum of its own
}

func (w *twinWorld) advert4(f []byte, c twinClock, o *outcome) {
	if len(f) < 34 || f[14]>>4 != 4 || f[23] != 112 {
		return
	}
	hl, total := int(f[14]&15)*4, int(binary.BigEndian.Uint16(f[16:]))
	if hl < 20 || total < hl || binary.BigEndian.Uint16(f[20:])&0x3fff != 0 { // a fragment tells but half
		return
	}
	n := total - hl
	w.advert(twinAdvert{
		w: w, c: c, frame: f, p: f[min(14+hl, len(f)):], plen: n, ttl: f[22], header: f[14:min(14+hl, len(f))],
		src: netip.AddrFrom4([4]byte(f[26:30])), dst: netip.AddrFrom4([4]byte(f[30:34])),
		pseudo: slices.Concat(f[26:34], []byte{0, 112, byte(n >> 8), byte(n)}),
	}, o)
}

func (w *twinWorld) advert6(f []byte, c twinClock, o *outcome) {
	if len(f) < 54 || f[14]>>4 != 6 || f[20] != 112 {
		return
	}
	src, dst := netip.AddrFrom16([16]byte(f[22:38])), netip.AddrFrom16([16]byte(f[38:54]))
	n := int(binary.BigEndian.Uint16(f[18:]))
	w.advert(
		twinAdvert{
			w:      w,
			c:      c,
			frame:  f,
			p:      f[54:],
			plen:   n,
			ttl:    f[21],
			src:    src.Unmap(),
			dst:    dst,
			pseudo: pseudo6(src, dst, 112, n),
		},
		o,
	)
}

func (a *twinAdvert) six() bool { return a.header == nil }

func (a *twinAdvert) toGroup() bool { return a.dst == carpGroup || a.dst == carpGroup6 }

// toUs reports whether the advert goes to an address that we send from. Any other may be in transit.
func (a *twinAdvert) toUs() bool {
	return !a.toGroup() && slices.Contains(a.g.sources, a.dst.Unmap())
}

// advert finds the group of an advert and whether it counts.
func (w *twinWorld) advert(a twinAdvert, o *outcome) {
	elsewhere := isMulticast6(a.dst) || a.dst.Is4() && a.dst.As4()[0] >= 224
	if elsewhere && !a.toGroup() {
		return
	}
	if a.plen < 2 || len(a.p) < 2 {
		o.count(onInterface, "bad_length", 1)
		return
	}
	whole := len(a.p) >= a.plen
	if whole {
		a.p = a.p[:a.plen]
	}
	vrrp := whole && a.isVRRP()
	if a.g = w.groups[a.p[1]]; a.g == nil {
		what := "bad_vhid"
		if vrrp {
			what = "foreign_vrrp"
		}
		o.count(onInterface, what, 1)
		return
	}
	if !a.g.reaches(a.frame) {
		return
	}
	if vrrp {
		o.count(a.g.named(), "foreign_vrrp", 1)
		o.count(onInterface, "foreign_vrrp", 1)
		return
	}
	if a.p[0] == 0xf1 && !a.toGroup() {
		if !a.toUs() {
			return
		}
		o.verdict = xdpDrop
		what := a.hello(whole, o)
		if what == "" {
			what = "hellos"
		}
		o.count(a.g.named(), what, 1)
		return
	}
	reason := a.cheap(whole)
	if reason == "" {
		reason = a.authentic(o)
	}
	switch {
	case reason == "" && a.toUs():
		o.verdict = xdpDrop
		o.count(a.g.named(), "drop_unicast_advert", 1)
	case reason == "":
		o.verdict = XDPPass
	default:
		o.count(a.g.named(), reason, 1)
		if a.toGroup() || a.toUs() { // else it may be on its way through
			o.verdict = xdpDrop
		}
	}
}

// isVRRP reports whether it is VRRP: version 2 with its addresses and eight bytes of authentication, or version 3 with
// its pseudo-header, over IPv4 also without (RFC 9568).
func (a *twinAdvert) isVRRP() bool {
	p, n := a.p, 0
	if len(p) < 8 || len(p) > maxSummed {
		return false
	}
	n = int(p[3])
	switch {
	case p[0]>>4 == 2 && !a.six():
		return len(p) == 16+4*n && (len(p) != 36 || n != 7) && sum16(p) == 0
	case p[0]>>4 == 3 && a.six():
		return len(p) == 8+16*n && sum16(a.pseudo, p) == 0
	case p[0]>>4 == 3:
		return len(p) == 8+4*n && (sum16(a.pseudo, p) == 0 || sum16(p) == 0)
	}
	return false
}

// cheap makes the checks without a digest, in the order of the design.
func (a *twinAdvert) cheap(whole bool) string {
	p := a.p
	switch {
	case !whole || len(p) < 8:
		return "bad_length"
	case p[0]>>4 != 2:
		return "bad_version"
	case len(p) < 36:
		return "bad_length"
	case a.ttl != 255 && (a.g.TTL != tables.TTLAny || a.toGroup()):
		return "bad_ttl"
	case !a.six() && (len(a.header) < 20 || sum16(a.header) != 0):
		return "bad_checksum"
	case sum16(p[:36]) != 0 || len(p) > 36 && (len(p) > maxSummed || sum16(p) != 0):
		return "bad_checksum"
	case !slices.ContainsFunc(a.g.VIPs, func(v netip.Addr) bool { return v.Is6() == a.six() }):
		return "wrong_family"
	}
	return ""
}

// authentic finds out whether a node with the key made the advert, and judges it further if so.
func (a *twinAdvert) authentic(o *outcome) string {
	g, m := a.g, a.g.twinMemory
	o.group = g
	defer func() { o.after = m }()
	trailed := a.trailed()
	switch {
	case trailed:
		if reason, is := a.proven(&m, o); is {
			return reason
		}
	case g.RequireTrailer:
		a.w.rules["trailer required"]++
		return "bad_trailer"
	}
	expected := !trailed && a.expected(&m)
	limited := func(at int64) string {
		if !trailed { // nobody misses what only looks like a vipd node's
			m.noteLimited(at)
		}
		return "rate_limited"
	}
	switch {
	case !expected && !m.covered(a.c.recent):
		return limited(a.c.recent)
	case !trailed && a.stripped():
		return "bad_trailer"
	}
	k, paid := a.digested(&m, expected)
	switch {
	case k < 0 && !paid:
		return limited(a.c.now)
	case k < 0:
		return "bad_hmac"
	case trailed:
		a.w.rules["bad tag"]++
		return "bad_trailer"
	}
	return a.ordinary(&m, o, k)
}

// digested charges the digests and returns the context that fits, or a negative number.
func (a *twinAdvert) digested(m *twinMemory, expected bool) (context int, paid bool) {
	n := len(a.g.Contexts)
	first := int(m.last.Context)
	if first >= n {
		first = 0
	}
	for i := range n {
		k := (first + i) % n
		due := expected || i == 0 // a token for an unknown source pays for all contexts
		if due && !m.pay(expected, a.c.now) {
			return -1, false
		}
		if a.signedBy(k) {
			return k, true
		}
	}
	return -1, true
}

func (a *twinAdvert) counter() uint64 { return binary.BigEndian.Uint64(a.p[8:]) }

func (a *twinAdvert) signedBy(k int) bool {
	return bytes.Equal(digestOf(a.g.Contexts[k], a.counter()), a.p[16:36])
}

// digestOf returns HMAC-SHA1 over the constant prefix and the counter.
func digestOf(c tables.AuthContext, counter uint64) []byte {
	h := hmac.New(sha1.New, c.Key)
	h.Write(c.Prefix)
	h.Write(binary.BigEndian.AppendUint64(nil, counter))
	return h.Sum(nil)
}

// event is what is told of the advert.
func (a *twinAdvert) event(k int) tables.Event {
	return tables.Event{
		At: a.c.now, IfIndex: LoIndex, VHID: a.g.VHID, Slot: a.g.slot, Generation: a.g.role.Generation,
		Src: a.src, SrcMAC: [6]byte(a.frame[6:12]), AdvBase: a.p[5], AdvSkew: a.p[2], Demote: a.p[4],
		Counter: a.counter(), TTL: a.ttl, Context: uint8(k),
	}
}

// cameBack reports whether we sent exactly this, and whether we sent its counter and digest.
func (a *twinAdvert) cameBack() (whole, counter bool) {
	said := prio(a.p[5], a.p[2], a.p[4])
	for _, s := range a.g.own {
		if s.counter == a.counter() && bytes.Equal(s.digest[:], a.p[16:36]) {
			counter = true
			whole = whole || a.ours() && s.Priority == said
		}
	}
	return whole, counter
}

func (a *twinAdvert) ours() bool { return slices.Contains(a.g.sources, a.src) }

// ordinary judges an authentic advert without a trailer: only loops and, if the group is strict, replays are left.
func (a *twinAdvert) ordinary(m *twinMemory, o *outcome, k int) string {
	g, e := a.g, a.event(k)
	loop, own := a.cameBack()
	if loop {
		return "loop"
	}
	e.OwnCounter = own
	peer, met := g.peers[a.src]
	if g.StrictReplay && met {
		replay, rule := peer.repeats(g, m, e.Counter, a.c.now)
		a.w.rules[rule]++
		o.src, o.peer = a.src, &peer // jumps are counted in any case
		if replay {
			return "replay"
		}
	}
	peer.learn(g, m, &e, met)
	o.src, o.peer = a.src, &peer
	a.taken(m, o, e)
	return ""
}

// taken processes an advert that counts. It may end our right to speak, it goes into the seen entry, and the agent is
// told.
func (a *twinAdvert) taken(m *twinMemory, o *outcome, e tables.Event) {
	g := a.g
	over := a.c.now >= g.role.Lease && a.c.now >= g.role.SendUntil
	e.Yielded = g.role.State == tables.RoleMaster &&
		(over || superior(prio(e.AdvBase, e.AdvSkew, e.Demote), g.sent, e.DemoteAware))
	rose := e.Yielded && m.yielded < g.role.Generation
	if rose {
		m.yielded = g.role.Generation
		o.count(g.named(), "yields", 1)
	}
	news := false
	if !rose && m.withholds(g, &e) {
		a.w.rules["withheld "+familyNames[familyOf(&e)]]++
	} else if news = m.isNews(g, &e) || rose; news {
		m.noteTold(&e)
	}
	m.last = e
	if e.Proven {
		m.highest = max(m.highest, e.Counter)
	}
	m.heard++
	o.count(g.named(), "received", 1)
	o.count(g.named(), contextNames[e.Context], 1)
	if e.OwnCounter {
		o.count(g.named(), "own_counter", 1)
	}
	if !news {
		return
	}
	if a.w.full {
		o.count(g.named(), "events_lost", 1)
		return
	}
	o.event = &e
}

// newsChanges is NEWS_CHANGES of bpf/news.h.
const newsChanges = 128

// isNews reports whether the agent is told. It reads the seen entry before it decides on silence, so it need not hear
// the same twice in half an interval, nor of too many changes. The interval of a goodbye is useless for this.
func (m *twinMemory) isNews(g *twinGroup, e *tables.Event) bool {
	said := twinTold{m.told.at, saidBy(e), uint16(e.Generation), e.Beat, m.told.n}
	span := min(max(interval(e.AdvBase, e.AdvSkew)/2, 1e6), 5e8)
	if e.Beat > 0 && g.role.State == tables.RoleBackup { // it permits that they are withheld if it need not hear each
		span = max(int64(e.Beat)*1000/2, 5e5)
	}
	switch {
	case m.last.Src.As16() != e.Src.As16() || e.At < m.told.at || e.At-m.told.at >= span:
		m.told = twinTold{at: e.At}
	case said == m.told || m.told.n >= newsChanges:
		return false
	}
	said.at, said.n = m.told.at, m.told.n+1
	m.told = said
	return true
}

// twinRepeats is what the agent of a BACKUP knows of a family, and what was therefore withheld.
type twinRepeats struct {
	at, told int64 // of the last advert that was withheld, and of the last one that was told
	counter  uint64
	src      [16]byte
	said     twinSaid
	context  uint8
	beat     uint16
}

var familyNames = [...]string{"IPv4", "IPv6"}

func familyOf(e *tables.Event) int {
	if e.Src.Is4() {
		return 0
	}
	return 1
}

func saidBy(e *tables.Event) twinSaid {
	return twinSaid{prio(e.AdvBase, e.AdvSkew, e.Demote), e.Yielded, e.DemoteAware, e.DemoteEver, e.OwnCounter, e.Proven}
}

// withholds reports whether the agent of a BACKUP knows all that an advert says and wants to hear no more of it. The
// last such one is kept.
func (m *twinMemory) withholds(g *twinGroup, e *tables.Event) bool {
	f := familyOf(e)
	r := &m.repeats[f]
	if g.role.State != tables.RoleBackup || g.settled[f] == 0 || g.settled[f] != r.told ||
		r.src != e.Src.As16() || r.said != saidBy(e) || r.context != e.Context || r.beat != e.Beat {
		return false
	}
	r.at, r.counter = e.At, e.Counter
	return true
}

func (m *twinMemory) noteTold(e *tables.Event) {
	r := &m.repeats[familyOf(e)]
	r.told = e.At // frames come one after the other here
	r.src, r.said, r.context, r.beat = e.Src.As16(), saidBy(e), e.Context, e.Beat
}

// twinTold is what the agent was told about one source in a span of time.
type twinTold struct {
	at         int64
	said       twinSaid // with the last
	generation uint16
	beat       uint16
	n          int
}

type twinSaid struct {
	tables.Priority
	yielded, aware, ever, own, proven bool
}

var contextNames = [tables.MaxContexts]string{
	"context 0", "context 1", "context 2", "context 3", "context 4", "context 5", "context 6", "context 7",
}

// superior is the Go twin of superior() in bpf/role.h, written from the rule: t = advbase*10^6 +
// floor(advskew*10^6/256); an equal advert makes us yield; 255/255 is never superior; OpenBSD's demote rule applies if
// the source is aware.
func superior(theirs, mine tables.Priority, aware bool) bool {
	t := func(p tables.Priority) int { return int(p.AdvBase)*1_000_000 + int(p.AdvSkew)*1_000_000/256 }
	if theirs.AdvBase == 255 && theirs.AdvSkew == 255 {
		return false
	}
	byTime := t(theirs) <= t(mine)
	if !aware {
		return byTime
	}
	return byTime && theirs.Demote <= mine.Demote || theirs.Demote < mine.Demote
}
