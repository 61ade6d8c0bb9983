// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// What the twin is compared with: everything that the programs write, read after each frame. Few and plain system
// calls, since there are ten million frames to come.

// twinNames are the counters of a VHID, an address and the interface, word for word.
var (
	groupWords = func() (names [unsafe.Sizeof(bpfGroupStats{}) / 8]string) {
		copy(names[:], []string{"received", "packets", "bytes", "events_lost", "yields", "own_counter", "foreign_vrrp"})
		copy(names[9:], rejectNames[1:])
		for i, name := range droppedNames {
			names[24+i] = "drop_" + name
		}
		copy(names[32:], contextNames[:])
		return names
	}()
	vipWords = [...]string{
		"arp_requests", "arp_replies", "arp_suppressed", "arp_gratuitous", "nd_solicitations", "nd_advertisements", "nd_suppressed",
	}
)

// wordMap is an array, read whole, as words; those of all CPUs are added up.
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
	w.raw, w.sum, w.keys = make([]uint64, w.entries*w.width*w.cpus), make([]uint64, w.entries*w.width), make([]uint32, w.entries)
	return w
}

const bpfMapLookupBatch = 24

// read returns the words of each entry; they are good until the next read.
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

// seenWords is the record of a group among those of all.
func seenWords(words []uint64, slot uint32) *bpfSeen {
	const width = unsafe.Sizeof(bpfSeen{}) / 8
	return (*bpfSeen)(unsafe.Pointer(&words[uintptr(slot)*width]))
}

// twinned is a data plane with the twin beside it.
type twinned struct {
	*harness
	w      *twinWorld
	groups map[uint8]*Group
	cpu    int

	groupStats, vipStats, seenMap, budgets *wordMap
	counted                                struct{ groups, vips, iface []uint64 }
	vipNames                               []string
}

// newTwinned has no groups yet, see populate. The test has to be pinned to a CPU.
func newTwinned(t testing.TB) *twinned {
	h := newHarnessOn(t, openSized(t, Options{MaxGroups: 3, MaxVIPs: 7}), dualVIPs()...)
	o := &h.d.objs
	return &twinned{
		harness: h, w: &twinWorld{rules: make(map[string]uint64)}, groups: map[uint8]*Group{1: h.g},
		groupStats: newWordMap(o.GroupStats, true), vipStats: newWordMap(o.VipStats, true),
		seenMap: newWordMap(o.Seen, false), budgets: newWordMap(o.Budget, true),
	}
}

// populate replaces all groups, so that nothing is remembered.
func (x *twinned) populate(specs ...GroupSpec) error {
	x.cpu = cpuHere()
	for vhid, g := range x.groups {
		if err := g.Remove(); err != nil {
			return err
		}
		delete(x.groups, vhid)
	}
	x.w.groups = make(map[uint8]*twinGroup)
	for _, s := range specs {
		g, err := x.d.AddGroup(s)
		if err != nil {
			return err
		}
		x.groups[s.VHID] = g
		x.w.groups[s.VHID] = &twinGroup{
			GroupSpec: s, slot: g.slot, role: Role{State: RoleInit}, sent: Priority{AdvBase: 255, AdvSkew: 255}, peers: make(map[netip.Addr]twinPeer),
		}
	}
	x.g = x.groups[1]
	return x.count()
}

// count begins to count anew, with the addresses that the groups have now.
func (x *twinned) count() error {
	x.vipNames = make([]string, x.vipStats.entries)
	for _, g := range x.groups {
		for a, slot := range g.vips {
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

// rose is what was counted since it was asked last.
func (x *twinned) rose() (map[twinCounter]uint64, error) {
	groups, err := x.groupStats.read()
	if err != nil {
		return nil, err
	}
	vips, err := x.vipStats.read()
	if err != nil {
		return nil, err
	}
	var cpus []bpfIfStats
	if err := x.d.objs.IfStats.Lookup(uint32(loIndex), &cpus); err != nil {
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
		return onInterface, append(slices.Clone(ifCountNames[:]), "?", "?", "?", "?", "?")[i]
	})
	return o.counts, nil
}

func (x *twinned) groupWord(i int) (of, what string) {
	for vhid, g := range x.groups {
		if int(g.slot) == i/len(groupWords) {
			return vhidNames[vhid], groupWords[i%len(groupWords)]
		}
	}
	return "a slot of nobody", groupWords[i%len(groupWords)]
}

// vipWord: what is behind the counters says who asked how often, and is TestUnseen's.
func (x *twinned) vipWord(i int) (of, what string) {
	if i%x.vipStats.width >= len(vipWords) {
		return "", ""
	}
	return x.vipNames[i/x.vipStats.width], vipWords[i%x.vipStats.width]
}

// memories are what the kernel has written for each group.
func (x *twinned) memories() (map[uint8]twinMemory, error) {
	words, err := x.seenMap.read()
	if err != nil {
		return nil, err
	}
	spent, err := x.budgets.read()
	if err != nil {
		return nil, err
	}
	out := make(map[uint8]twinMemory, len(x.groups))
	for vhid, g := range x.groups {
		s := seenWords(words, g.slot).seen(g.slot)
		out[vhid] = twinMemory{
			last: s.Event, heard: s.Count, yielded: s.YieldedGeneration, limited: s.LimitedAt, claimed: s.Claim,
			spent: [2]int64{int64(spent[2*g.slot]), int64(spent[2*g.slot+1])},
		}
	}
	return out, nil
}

// peer is what the kernel knows of a source.
func (x *twinned) peer(g *twinGroup, src netip.Addr) (p twinPeer, known bool, err error) {
	var v bpfSourceVal
	err = x.d.objs.Sources.Lookup(bpfSourceKey{Slot: g.slot, Src: src.As16()}, &v)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return twinPeer{}, false, nil
	}
	return peerOf(v), true, err
}

// Bits of source_val.flags in bpf/vipd_types.h.
const (
	sourceDemoteEver = 1 << iota
	sourceVaries
	sourceSealed
	sourceStays
)

func peerOf(v bpfSourceVal) twinPeer {
	p := twinPeer{
		counter: v.Counter, changed: v.Since, sealed: v.Flags&sourceSealed != 0, demoted: v.Flags&sourceDemoteEver != 0,
		varies: v.Flags&sourceVaries != 0, stays: v.Flags&sourceStays != 0,
		rises: v.Rises, jumps: v.Jumps, jumped: int64(v.JumpAt), interval: int64(v.IntervalUs) * 1e3,
	}
	if p.sealed {
		p.seq = v.Seq
	}
	return p
}
