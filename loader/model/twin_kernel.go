// SPDX-License-Identifier: Apache-2.0

package model

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"vipd/loader/object"
	"vipd/loader/tables"
)

// Reads everything that the programs write, after each frame, to compare it with the twin. It uses few and plain system
// calls, since there are ten million frames to come.

// The counters of a VHID, an address and the interface, word for word.
var (
	groupWords = func() (names [unsafe.Sizeof(object.BPFGroupStats{}) / 8]string) {
		copy(names[:], []string{
			"received", "packets", "bytes", "events_lost", "yields", "own_counter", "foreign_vrrp", "hellos",
			"no_room",
		})
		copy(names[10:], tables.RejectReasons())
		for i, name := range tables.DropReasons() {
			names[25+i] = "drop_" + name
		}
		copy(names[33:], contextNames[:])
		return names
	}()
	vipWords = [...]string{
		"arp_requests",
		"arp_replies",
		"arp_suppressed",
		"arp_gratuitous",
		"nd_solicitations",
		"nd_advertisements",
		"nd_suppressed",
	}
)

// ifaceWords are the counters of an interface.
var ifaceWords = [...]string{"bad_vhid", "foreign_vrrp", "bad_length", tables.TagsLost}

// slotsOf returns the slots of a group's addresses.
func slotsOf(t testing.TB, objs *object.Set, g *tables.Group) map[netip.Addr]uint32 {
	t.Helper()
	out := make(map[netip.Addr]uint32)
	var key object.BPFVipKey
	var val object.BPFVipVal
	it := objs.Vips.Iterate()
	for it.Next(&key, &val) {
		if val.Group == g.Slot() {
			out[netip.AddrFrom16(key.Addr).Unmap()] = val.Vip
		}
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// wordMap reads a whole array as words, added up over all CPUs.
type wordMap struct {
	fd             int
	entries, width int // in words
	cpus           int
	raw, sum       []uint64
	keys           []uint32
}

func newWordMap(m *ebpf.Map, perCPU bool) *wordMap {
	w := &wordMap{fd: m.FD(), entries: int(m.MaxEntries()), width: int(m.ValueSize()) / 8, cpus: 1}
	if perCPU {
		w.cpus = ebpf.MustPossibleCPU()
	}
	w.raw, w.sum, w.keys = make(
		[]uint64,
		w.entries*w.width*w.cpus,
	), make([]uint64, w.entries*w.width), make([]uint32, w.entries)
	return w
}

const bpfMapLookupBatch = 24

// read returns the words of each entry; they are valid until the next read.
func (w *wordMap) read() ([]uint64, error) {
	var batch uint64
	attr := struct {
		in, out, keys, values uint64
		count, fd             uint32
		elemFlags, flags      uint64
	}{
		out: uint64(uintptr(unsafe.Pointer(&batch))), keys: uint64(uintptr(unsafe.Pointer(&w.keys[0]))),
		values: uint64(uintptr(unsafe.Pointer(&w.raw[0]))), count: uint32(w.entries), fd: uint32(w.fd),
	}
	_, _, errno := unix.Syscall(unix.SYS_BPF, bpfMapLookupBatch, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 && errno != unix.ENOENT || int(attr.count) != w.entries {
		return nil, fmt.Errorf("read %d of %d entries: %w", attr.count, w.entries, errno)
	}
	if w.cpus == 1 {
		return w.raw, nil
	}
	clear(w.sum)
	for i, n := range w.raw {
		w.sum[i/(w.width*w.cpus)*w.width+i%w.width] += n
	}
	return w.sum, nil
}

// seenWords returns the seen entry of a group.
func seenWords(words []uint64, slot uint32) *object.BPFSeen {
	const width = unsafe.Sizeof(object.BPFSeen{}) / 8
	return (*object.BPFSeen)(unsafe.Pointer(&words[uintptr(slot)*width]))
}

// twinned is a data plane beside its twin.
type twinned struct {
	*Harness
	w      *twinWorld
	groups map[uint8]*tables.Group
	cpu    int

	groupStats, vipStats, seenMap, heardMap, budgets *wordMap
	counted                                          struct{ groups, vips, iface []uint64 }
	vipNames                                         []string
	claimed                                          map[netip.Addr]int64 // when the agent was last told of a claim
}

// newTwinned returns a pair without groups, see populate. The test has to be pinned to a CPU.
func newTwinned(t testing.TB) *twinned {
	h := newHarnessOn(t, openPlane(t, planeOptions{MaxGroups: 3, MaxVIPs: 7}), DualVIPs()...)
	o := h.Plane.Objects
	return &twinned{
		Harness:    h,
		w:          &twinWorld{rules: make(map[string]uint64)},
		claimed:    make(map[netip.Addr]int64),
		groups:     map[uint8]*tables.Group{1: h.Group},
		groupStats: newWordMap(o.GroupStats, true),
		vipStats:   newWordMap(o.VipStats, true),
		seenMap:    newWordMap(o.Seen, false),
		heardMap:   newWordMap(o.Heard, false),
		budgets:    newWordMap(o.Budget, true),
	}
}

// populate replaces all groups, so that nothing is kept.
func (x *twinned) populate(specs ...tables.GroupSpec) error {
	x.cpu = cpuHere()
	for vhid, g := range x.groups {
		if err := g.Remove(); err != nil {
			return err
		}
		delete(x.groups, vhid)
	}
	x.w.groups = make(map[uint8]*twinGroup)
	for _, s := range specs {
		g, err := x.Plane.AddGroup(s)
		if err != nil {
			return err
		}
		x.groups[s.VHID] = g
		x.w.groups[s.VHID] = &twinGroup{
			GroupSpec: s,
			slot:      g.Slot(),
			role:      tables.Role{State: tables.RoleInit},
			sent:      tables.Priority{AdvBase: 255, AdvSkew: 255},
			peers:     make(map[netip.Addr]twinPeer),
			proven:    make(map[netip.Addr]twinProven),
		}
	}
	x.Group = x.groups[1]
	return x.count()
}

// count starts counting anew, with the addresses that the groups have now.
func (x *twinned) count() error {
	x.vipNames = make([]string, x.vipStats.entries)
	for _, g := range x.groups {
		for a, slot := range slotsOf(x.T, x.Plane.Objects, g) {
			x.vipNames[slot] = a.String()
		}
	}
	_, err := x.rose()
	return err
}

func cpuHere() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		panic(err)
	}
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			return cpu
		}
	}
	panic("no cpu")
}

// rose returns what was counted since the last call.
func (x *twinned) rose() (map[twinCounter]uint64, error) {
	groups, err := x.groupStats.read()
	if err != nil {
		return nil, err
	}
	vips, err := x.vipStats.read()
	if err != nil {
		return nil, err
	}
	var cpus []object.BPFIfStats
	if err := x.Plane.Objects.IfStats.Lookup(uint32(LoIndex), &cpus); err != nil {
		return nil, err
	}
	iface := make([]uint64, len(cpus[0].Count))
	for i := range cpus {
		for what, n := range cpus[i].Count {
			iface[what] += n
		}
	}
	o := outcome{}
	differ := func(was *[]uint64, now []uint64, name func(i int) (of, what string)) {
		if slices.Equal(*was, now) {
			return
		}
		for i, n := range now {
			if i < len(*was) && n != (*was)[i] {
				if of, what := name(i); of != "" {
					o.count(of, what, n-(*was)[i])
				}
			}
		}
		*was = append((*was)[:0], now...)
	}
	differ(&x.counted.groups, groups, x.groupWord)
	differ(&x.counted.vips, vips, x.vipWord)
	differ(&x.counted.iface, iface, func(i int) (string, string) {
		return onInterface, append(slices.Clone(ifaceWords[:]), "?", "?", "?", "?", "?")[i]
	})
	return o.counts, nil
}

func (x *twinned) groupWord(i int) (of, what string) {
	for vhid, g := range x.groups {
		if int(g.Slot()) == i/len(groupWords) {
			return vhidNames[vhid], groupWords[i%len(groupWords)]
		}
	}
	return "a slot of nobody", groupWords[i%len(groupWords)]
}

// vipWord names a word. After the counters come the askers, which TestAnswersUnseen checks, and then claims.
func (x *twinned) vipWord(i int) (of, what string) {
	if i%x.vipStats.width == int(unsafe.Offsetof(object.BPFVipStats{}.Claims)/8) {
		return x.vipNames[i/x.vipStats.width], "claims"
	}
	if i%x.vipStats.width >= len(vipWords) {
		return "", ""
	}
	return x.vipNames[i/x.vipStats.width], vipWords[i%x.vipStats.width]
}

// memories returns what the kernel has written for each group.
func (x *twinned) memories() (map[uint8]twinMemory, error) {
	words, err := x.seenMap.read()
	if err != nil {
		return nil, err
	}
	heard, err := x.heardMap.read()
	if err != nil {
		return nil, err
	}
	spent, err := x.budgets.read()
	if err != nil {
		return nil, err
	}
	out := make(map[uint8]twinMemory, len(x.groups))
	for vhid, g := range x.groups {
		s := seenWords(words, g.Slot())
		out[vhid] = twinMemory{
			last: lastOf(s, g.Slot()), heard: s.Count, yielded: s.YieldedGen, limited: int64(s.LimitedAt),
			claimed: int64(s.Claimed), told: toldOf(s), highest: s.Highest, repeats: repeatsOf(heard, g.Slot()),
			spent: spentOf(spent[4*g.Slot():]), noRoom: int64(s.NoRoomAt),
		}
	}
	return out, nil
}

// spentOf returns the budgets of a group. The third of the four is for claims.
func spentOf(words []uint64) [3]int64 {
	return [3]int64{int64(words[0]), int64(words[1]), int64(words[3])}
}

// lastOf returns the last advert of a seen entry.
func lastOf(s *object.BPFSeen, slot uint32) tables.Event {
	if s.Count == 0 {
		return tables.Event{}
	}
	return tables.Event{
		At:          int64(s.At),
		IfIndex:     int(s.Ifindex),
		VHID:        s.Vhid,
		Slot:        slot,
		Generation:  s.Generation,
		Src:         netip.AddrFrom16(s.Src).Unmap(),
		SrcMAC:      s.SrcMac,
		AdvBase:     s.Advbase,
		AdvSkew:     s.Advskew,
		Demote:      s.Demote,
		Counter:     s.Counter,
		TTL:         s.Ttl,
		Context:     s.Ctx,
		Yielded:     s.Flags&flagYielded != 0,
		DemoteAware: s.Flags&flagDemoteAware != 0,
		DemoteEver:  s.Flags&flagDemoteEver != 0,
		OwnCounter:  s.Flags&flagOwnCounter != 0,
		Proven:      s.Flags&flagProven != 0,
		Beat:        s.Beat,
	}
}

// EVENT_* of bpf/vipd_types.h.
const (
	flagYielded = 1 << iota
	flagDemoteAware
	flagDemoteEver
	flagOwnCounter
	flagProven
)

func toldOf(s *object.BPFSeen) twinTold {
	return twinTold{
		at: int64(s.ToldAt), generation: s.ToldGen, n: int(s.ToldN), said: saidIn(s.ToldSaid), beat: s.ToldBeat,
	}
}

// saidIn unpacks a priority and flags.
func saidIn(word uint32) twinSaid {
	f := uint8(word)
	return twinSaid{
		prio(uint8(word>>24), uint8(word>>16), uint8(word>>8)),
		f&flagYielded != 0, f&flagDemoteAware != 0, f&flagDemoteEver != 0, f&flagOwnCounter != 0, f&flagProven != 0,
	}
}

// heardEntries returns the entries of a group in the map heard.
func heardEntries(words []uint64, slot uint32) *[2]object.BPFHeard {
	const width = unsafe.Sizeof([2]object.BPFHeard{}) / 8
	return (*[2]object.BPFHeard)(unsafe.Pointer(&words[uintptr(slot)*width]))
}

func repeatsOf(words []uint64, slot uint32) (out [2]twinRepeats) {
	for f, h := range heardEntries(words, slot) {
		out[f] = twinRepeats{
			at: int64(h.At), told: int64(h.ToldAt), counter: h.Counter, src: h.Src,
			said: saidIn(h.Said &^ (7 << 5)), context: uint8(h.Said) >> 5, beat: uint16(h.Beat),
		}
	}
	return out
}

// peer returns what the kernel knows about a source.
func (x *twinned) peer(g *twinGroup, src netip.Addr) (p twinPeer, known bool, err error) {
	var v object.BPFSourceVal
	err = x.Plane.Objects.Sources.Lookup(object.BPFSourceKey{Slot: g.slot, Src: src.As16()}, &v)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return twinPeer{}, false, nil
	}
	return peerOf(v), true, err
}

// Bits of source_val.flags in bpf/vipd_types.h.
const (
	sourceDemoteEver = 1 << iota
	sourceVaries
	sourceStays
)

func peerOf(v object.BPFSourceVal) twinPeer {
	return twinPeer{
		counter: v.Counter, changed: v.Since, demoted: v.Flags&sourceDemoteEver != 0,
		varies: v.Flags&sourceVaries != 0, stays: v.Flags&sourceStays != 0,
		rises: v.Rises, jumps: v.Jumps, jumped: int64(v.JumpAt), interval: int64(v.IntervalUs) * 1e3,
	}
}

// provenPeer returns what the kernel knows about a source that has proven itself.
func (x *twinned) provenPeer(g *twinGroup, src netip.Addr) (p twinProven, known bool, err error) {
	var v object.BPFPeerVal
	err = x.Plane.Objects.Peers.Lookup(object.BPFSourceKey{Slot: g.slot, Src: src.As16()}, &v)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return twinProven{}, false, nil
	}
	return twinProven{
		number: v.Number, at: int64(v.At), demoted: v.Flags == sourceDemoteEver, interval: int64(v.IntervalUs) * 1e3,
		pace: v.Pace, hello: v.Hello, helloAt: int64(v.HelloAt), told: int64(v.ToldAt),
	}, true, err
}
