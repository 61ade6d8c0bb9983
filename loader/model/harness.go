// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"vipd/loader/internal/kerneltest"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// XDP verdicts and tc verdicts.
const (
	xdpAborted = 0
	xdpDrop    = 1
	XDPPass    = 2
	XDPTX      = 3

	TCUnspec   = 0xffffffff
	tcShot     = 2
	tcRedirect = 7
)

// LoIndex is the receiving interface that a test run reports.
const LoIndex = 1

// Harness runs frames through the programs without attaching them.
type Harness struct {
	T     testing.TB
	Plane *plane
	Group *tables.Group
	// ingress runs frames through the program for tc and converts its verdicts to XDP's.
	ingress bool
}

// NewHarness returns a harness with one group, which has the golden vectors' key and the given addresses.
func NewHarness(t testing.TB, vips ...string) *Harness {
	t.Helper()
	if len(vips) == 0 {
		vips = []string{"192.0.2.1"}
	}
	return newHarnessOn(t, openPlane(t, planeOptions{}), vips...)
}

func newHarnessOn(t testing.TB, d *plane, vips ...string) *Harness {
	t.Helper()
	g, err := d.AddGroup(GoldenSpec(vips...))
	if err != nil {
		t.Fatal(err)
	}
	// Attach does this for a real interface.
	cpus := make([]object.BPFIfStats, ebpf.MustPossibleCPU())
	if err := d.Objects.IfStats.Put(uint32(LoIndex), cpus); err != nil {
		t.Fatal(err)
	}
	// These VLAN devices count as the interface itself.
	for _, v := range testVLANs() {
		if err := d.Objects.Vlans.Put(VLANKey(LoIndex, v), uint32(LoIndex)); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.SetSources([]netip.Addr{ownAddr, ownAddr6}); err != nil {
		t.Fatal(err)
	}
	return &Harness{T: t, Plane: d, Group: g}
}

var (
	goldenKey = []byte("mekmitasdigoat")
	// NICMAC is the address of the interface.
	NICMAC = [6]byte{2, 0, 0, 0, 0, 0x0a}
	// PeerMAC is the peer's.
	PeerMAC = [6]byte{2, 0, 0, 0, 0, 0x0b}
	ownAddr = netip.MustParseAddr("192.0.2.9")
	// PeerAddr is the peer's.
	PeerAddr = netip.MustParseAddr("192.0.2.2")
)

// GoldenSpec describes a group with the golden vectors' key.
func GoldenSpec(vips ...string) tables.GroupSpec {
	addrs := make([]netip.Addr, 0, len(vips))
	for _, v := range vips {
		addrs = append(addrs, netip.MustParseAddr(v))
	}
	return tables.GroupSpec{
		IfIndex: LoIndex, VHID: 1, NICMAC: NICMAC, VIPs: addrs,
		Contexts: []tables.AuthContext{{Key: goldenKey, Prefix: prefix(1, addrs)}},
	}
}

// BootNow reads CLOCK_BOOTTIME.
func BootNow() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// Master makes the group answer for the next minute.
func (h *Harness) Master(generation uint64) {
	h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: generation, Lease: BootNow() + 60e9})
}

// Run passes a frame through the XDP program.
func (h *Harness) Run(frame []byte) (uint32, []byte) {
	h.T.Helper()
	if h.ingress {
		verdict, out := RunProg(h.T, kerneltest.Must(h.Plane.Objects.Ingress()), frame)
		switch verdict {
		case tcShot:
			return xdpDrop, out
		case tcRedirect:
			return XDPTX, out
		case TCUnspec:
			return XDPPass, out
		}
		h.T.Fatalf("tc verdict %d", verdict)
	}
	return RunProg(h.T, h.Plane.Objects.VipdXdp, frame)
}

// RunProg runs a frame through a program.
func RunProg(t testing.TB, p *ebpf.Program, frame []byte) (uint32, []byte) {
	t.Helper()
	o := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	verdict, err := p.Run(&o)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	return verdict, o.DataOut
}

// counters returns all counters that are not zero.
func (h *Harness) counters() map[string]uint64 {
	h.T.Helper()
	out := make(map[string]uint64)
	add := func(name string, n uint64) {
		if n != 0 {
			out[name] += n
		}
	}
	st, err := h.Group.Stats()
	if err != nil {
		h.T.Fatal(err)
	}
	for i, r := range tables.RejectReasons() {
		add(r, st.Rejected[i])
	}
	for i, r := range tables.DropReasons() {
		add("drop_"+r, st.Dropped[i])
	}
	add("received", st.Received)
	add("packets", st.Packets)
	add("bytes", st.Bytes)
	add("events_lost", st.EventsLost)
	add("yields", st.Yields)
	add("own_counter", st.OwnCounter)
	add("group_foreign_vrrp", st.ForeignVRRP)
	add("hellos", st.Hellos)
	add("no_room", st.NoRoom)
	vips, err := h.Group.VIPStats()
	if err != nil {
		h.T.Fatal(err)
	}
	for _, v := range vips {
		add("arp_requests", v.ARPRequests)
		add("arp_replies", v.ARPReplies)
		add("arp_suppressed", v.ARPSuppressed)
		add("arp_gratuitous", v.ARPGratuitous)
		add("nd_solicitations", v.NDSolicitations)
		add("nd_advertisements", v.NDAdvertisements)
		add("nd_suppressed", v.NDSuppressed)
	}
	ifs, err := h.Plane.InterfaceStats(LoIndex)
	if err != nil {
		h.T.Fatal(err)
	}
	for r, n := range ifs {
		add("if_"+r, n)
	}
	return out
}

func since(before, after map[string]uint64) map[string]uint64 {
	out := make(map[string]uint64)
	for k, n := range after {
		if n -= before[k]; n != 0 {
			out[k] = n
		}
	}
	return out
}

// Want is the expected result of one frame.
type Want struct {
	Verdict uint32
	Counts  map[string]uint64
	Frame   []byte // nil: unchanged
	events  int
}

// Expect runs a frame through the XDP program and checks everything it does.
func (h *Harness) Expect(name string, frame []byte, w Want) {
	h.T.Helper()
	h.check(name, h.Plane.Objects.VipdXdp, frame, w)
}

func (h *Harness) expectEgress(name string, frame []byte, w Want) {
	h.T.Helper()
	h.check(name, h.Plane.Objects.VipdEgress, frame, w)
}

func (h *Harness) check(name string, p *ebpf.Program, frame []byte, w Want) {
	h.T.Helper()
	h.drain() // of earlier frames
	h.untold()
	before := h.counters()
	verdict, out := RunProg(h.T, p, frame)
	if verdict != w.Verdict {
		h.T.Errorf("%s: verdict %d, want %d", name, verdict, w.Verdict)
	}
	wantFrame := w.Frame
	if wantFrame == nil {
		wantFrame = frame
	}
	if !bytes.Equal(out, wantFrame) {
		h.T.Errorf("%s: frame\n%x, want\n%x", name, out, wantFrame)
	}
	wantCounts := w.Counts
	if wantCounts == nil {
		wantCounts = map[string]uint64{}
	}
	rose := since(before, h.counters())
	if d := cmp.Diff(wantCounts, rose); d != "" {
		h.T.Errorf("%s: counters (-want +got):\n%s", name, d)
	}
	h.accounted(
		name,
		verdict == xdpDrop && p == h.Plane.Objects.VipdXdp || verdict == tcShot && p == h.Plane.Objects.VipdEgress,
		rose,
	)
	if n := len(h.drain()); n != w.events {
		h.T.Errorf("%s: %d events, want %d", name, n, w.events)
	}
}

// accounted checks that a dropped frame is counted for one named reason, or as a hello, and that no other frame is
// counted as dropped. A rejected advert may be dropped as such, or passed on and dropped for its destination.
func (h *Harness) accounted(name string, dropped bool, rose map[string]uint64) {
	h.T.Helper()
	drops, rejects := rose["hellos"], uint64(0)
	for _, reason := range tables.DropReasons() {
		drops += rose["drop_"+reason]
	}
	for _, reason := range tables.RejectReasons() {
		rejects += rose[reason]
	}
	if dropped && drops != 1 && (drops != 0 || rejects != 1) || !dropped && drops != 0 {
		h.T.Errorf("%s: dropped: %v; counted %d drops and %d rejections: %v", name, dropped, drops, rejects, rose)
	}
}

func (h *Harness) drain() []tables.Event {
	h.T.Helper()
	evs, err := h.Plane.Drain(nil)
	if err != nil {
		h.T.Fatal(err)
	}
	return evs
}

// untold makes the next advert news to the agent, as if the last one had been long ago (bpf/news.h).
func (h *Harness) untold() {
	h.T.Helper()
	if err := Untold(h.Plane.Objects, h.Group.Slot()); err != nil {
		h.T.Fatal(err)
	}
}

// floodTold sends that many adverts, each of which is news.
func (h *Harness) floodTold(frame []byte, n int) map[string]uint64 {
	h.T.Helper()
	before := h.counters()
	for range n {
		h.untold()
		h.Run(frame)
	}
	return since(before, h.counters())
}

// Seen returns what the kernel saw last of the group.
func (h *Harness) Seen() tables.Seen {
	h.T.Helper()
	s, err := h.Group.Seen()
	if err != nil {
		h.T.Fatal(err)
	}
	h.compareLatest(s)
	return s
}

// compareLatest holds that what the agent knows without a system call is what it would read. Claim is written by
// egress.
func (h *Harness) compareLatest(seen tables.Seen) {
	h.T.Helper()
	for _, now := range []int64{BootNow(), BootNow() + int64(time.Hour)} { // doubts are over by then
		is, err := h.Group.Latest(now)
		if is.Claim = seen.Claim; err != nil || is != seen {
			h.T.Fatalf("Latest: %+v, %v\nSeen: %+v", is, err, seen)
		}
	}
}

// count returns counters that each rose by one.
func count(names ...string) map[string]uint64 {
	out := make(map[string]uint64, len(names))
	for _, n := range names {
		out[n] = 1
	}
	return out
}

// Fresh replaces the group, so that budgets and seen entries start anew.
func (h *Harness) Fresh(s tables.GroupSpec) {
	h.T.Helper()
	if err := h.Group.Remove(); err != nil {
		h.T.Fatal(err)
	}
	var err error
	if h.Group, err = h.Plane.AddGroup(s); err != nil {
		h.T.Fatal(err)
	}
	if err := h.Group.SetSources([]netip.Addr{ownAddr, ownAddr6}); err != nil {
		h.T.Fatal(err)
	}
}

// Untold does the same for the group of a slot.
func Untold(objs *object.Set, slot uint32) error {
	var s object.BPFSeen
	if err := objs.Seen.Lookup(slot, &s); err != nil {
		return err
	}
	s.ToldAt = 0
	return objs.Seen.Put(slot, s)
}

// Samples drains the tap.
func (h *Harness) Samples() []tables.Sample {
	h.T.Helper()
	got, _, err := h.Plane.DrainTap(nil)
	if err != nil {
		h.T.Fatal(err)
	}
	for i := range got {
		got[i].Data = slices.Clone(got[i].Data)
	}
	return got
}

// prio returns a priority in the order of an advert's fields.
func prio(base, skew, demote uint8) tables.Priority {
	return tables.Priority{AdvBase: base, AdvSkew: skew, Demote: demote}
}
