// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"vipd/loader/internal/kerneltest"
)

// XDP verdicts and tc verdicts.
const (
	xdpAborted = 0
	xdpDrop    = 1
	xdpPass    = 2
	xdpTX      = 3

	tcUnspec   = 0xffffffff
	tcShot     = 2
	tcRedirect = 7
)

// loIndex is what a test run reports as the receiving interface.
const loIndex = 1

// harness runs frames through the programs, not attached to anything.
type harness struct {
	t testing.TB
	d *Dataplane
	g *Group
	// ingress runs frames through the program for tc; its verdicts are told as XDP's.
	ingress bool
}

var dirs atomic.Int32

func testDir() string {
	return fmt.Sprintf("/sys/fs/bpf/vipd-test-%d-%d", os.Getpid(), dirs.Add(1))
}

func openTest(t testing.TB, o Options) *Dataplane {
	t.Helper()
	o.MaxGroups, o.MaxVIPs = 16, 64
	return openSized(t, o)
}

func openSized(t testing.TB, o Options) *Dataplane {
	t.Helper()
	kerneltest.Require(t, kerneltest.BPF)
	if o.Dir == "" {
		o.Dir = testDir()
	}
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(o.Dir); err == nil {
			t.Errorf("%s is left", o.Dir)
		}
	})
	return d
}

// newHarness has one group with the golden vectors' key and the given addresses.
func newHarness(t testing.TB, vips ...string) *harness {
	t.Helper()
	if len(vips) == 0 {
		vips = []string{"192.0.2.1"}
	}
	return newHarnessOn(t, openTest(t, Options{}), vips...)
}

func newHarnessOn(t testing.TB, d *Dataplane, vips ...string) *harness {
	t.Helper()
	g, err := d.AddGroup(goldenSpec(vips...))
	if err != nil {
		t.Fatal(err)
	}
	// What Attach does for a real interface.
	cpus := make([]bpfIfStats, ebpf.MustPossibleCPU())
	if err := d.objs.IfStats.Put(uint32(loIndex), cpus); err != nil {
		t.Fatal(err)
	}
	// As if these VLAN devices were the interface itself.
	for _, v := range testVLANs() {
		if err := d.objs.Vlans.Put(vlanKeyOf(loIndex, v), uint32(loIndex)); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.SetSources([]netip.Addr{ownAddr, ownAddr6}); err != nil {
		t.Fatal(err)
	}
	return &harness{t: t, d: d, g: g}
}

var (
	goldenKey = []byte("mekmitasdigoat")
	nicMAC    = [6]byte{2, 0, 0, 0, 0, 0x0a}
	peerMAC   = [6]byte{2, 0, 0, 0, 0, 0x0b}
	ownAddr   = netip.MustParseAddr("192.0.2.9")
	peerAddr  = netip.MustParseAddr("192.0.2.2")
)

func goldenSpec(vips ...string) GroupSpec {
	addrs := make([]netip.Addr, 0, len(vips))
	for _, v := range vips {
		addrs = append(addrs, netip.MustParseAddr(v))
	}
	return GroupSpec{
		IfIndex: loIndex, VHID: 1, NICMAC: nicMAC, VIPs: addrs,
		Contexts: []AuthContext{{Key: goldenKey, Prefix: prefix(1, addrs)}},
	}
}

func bootNow() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// master makes the group answer for the next minute.
func (h *harness) master(generation uint64) {
	h.g.SetRole(Role{State: RoleMaster, Generation: generation, Lease: bootNow() + 60e9})
}

// run passes a frame through the XDP program.
func (h *harness) run(frame []byte) (uint32, []byte) {
	h.t.Helper()
	if h.ingress {
		verdict, out := runProg(h.t, must(h.d.ingress()), frame)
		switch verdict {
		case tcShot:
			return xdpDrop, out
		case tcRedirect:
			return xdpTX, out
		case tcUnspec:
			return xdpPass, out
		}
		h.t.Fatalf("tc verdict %d", verdict)
	}
	return runProg(h.t, h.d.objs.VipdXdp, frame)
}

func runProg(t testing.TB, p *ebpf.Program, frame []byte) (uint32, []byte) {
	t.Helper()
	o := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	verdict, err := p.Run(&o)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	return verdict, o.DataOut
}

// counters flattens all counters that are not zero.
func (h *harness) counters() map[string]uint64 {
	h.t.Helper()
	out := make(map[string]uint64)
	add := func(name string, n uint64) {
		if n != 0 {
			out[name] += n
		}
	}
	st, err := h.g.Stats()
	if err != nil {
		h.t.Fatal(err)
	}
	for i, r := range RejectReasons() {
		add(r, st.Rejected[i])
	}
	for i, r := range DropReasons() {
		add("drop_"+r, st.Dropped[i])
	}
	add("received", st.Received)
	add("packets", st.Packets)
	add("bytes", st.Bytes)
	add("events_lost", st.EventsLost)
	add("yields", st.Yields)
	add("own_counter", st.OwnCounter)
	add("group_foreign_vrrp", st.ForeignVRRP)
	vips, err := h.g.VIPStats()
	if err != nil {
		h.t.Fatal(err)
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
	ifs, err := h.d.InterfaceStats(loIndex)
	if err != nil {
		h.t.Fatal(err)
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

// want is what one frame has to do.
type want struct {
	verdict uint32
	counts  map[string]uint64
	frame   []byte // nil: unchanged
	events  int
}

func (h *harness) expect(name string, frame []byte, w want) {
	h.t.Helper()
	h.check(name, h.d.objs.VipdXdp, frame, w)
}

func (h *harness) expectEgress(name string, frame []byte, w want) {
	h.t.Helper()
	h.check(name, h.d.objs.VipdEgress, frame, w)
}

func (h *harness) check(name string, p *ebpf.Program, frame []byte, w want) {
	h.t.Helper()
	h.drain() // of earlier frames
	before := h.counters()
	verdict, out := runProg(h.t, p, frame)
	if verdict != w.verdict {
		h.t.Errorf("%s: verdict %d, want %d", name, verdict, w.verdict)
	}
	wantFrame := w.frame
	if wantFrame == nil {
		wantFrame = frame
	}
	if !bytes.Equal(out, wantFrame) {
		h.t.Errorf("%s: frame\n%x, want\n%x", name, out, wantFrame)
	}
	wantCounts := w.counts
	if wantCounts == nil {
		wantCounts = map[string]uint64{}
	}
	rose := since(before, h.counters())
	if d := cmp.Diff(wantCounts, rose); d != "" {
		h.t.Errorf("%s: counters (-want +got):\n%s", name, d)
	}
	h.accounted(name, verdict == xdpDrop && p == h.d.objs.VipdXdp || verdict == tcShot && p == h.d.objs.VipdEgress, rose)
	if n := len(h.drain()); n != w.events {
		h.t.Errorf("%s: %d events, want %d", name, n, w.events)
	}
}

// accounted holds that a frame that is dropped is counted for one named reason, and that
// no other frame is counted as dropped. An advert that is refused may be dropped as such,
// or passed on and be dropped for where it goes.
func (h *harness) accounted(name string, dropped bool, rose map[string]uint64) {
	h.t.Helper()
	var drops, rejects uint64
	for _, reason := range DropReasons() {
		drops += rose["drop_"+reason]
	}
	for _, reason := range RejectReasons() {
		rejects += rose[reason]
	}
	if dropped && drops != 1 && (drops != 0 || rejects != 1) || !dropped && drops != 0 {
		h.t.Errorf("%s: dropped: %v; counted %d drops and %d rejections: %v", name, dropped, drops, rejects, rose)
	}
}

func (h *harness) drain() []Event {
	h.t.Helper()
	evs, err := h.d.Drain(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return evs
}

func (h *harness) seen() Seen {
	h.t.Helper()
	s, err := h.g.Seen()
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// count is shorthand for a set of counters that each rose by one.
func count(names ...string) map[string]uint64 {
	out := make(map[string]uint64, len(names))
	for _, n := range names {
		out[n] = 1
	}
	return out
}

// fresh replaces the group, so that budgets and records start anew.
func (h *harness) fresh(s GroupSpec) {
	h.t.Helper()
	if err := h.g.Remove(); err != nil {
		h.t.Fatal(err)
	}
	var err error
	if h.g, err = h.d.AddGroup(s); err != nil {
		h.t.Fatal(err)
	}
	if err := h.g.SetSources([]netip.Addr{ownAddr, ownAddr6}); err != nil {
		h.t.Fatal(err)
	}
}
