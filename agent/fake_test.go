// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/checks"
	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/metrics"
	"vipd/agent/netio"
	"vipd/agent/wire"
	"vipd/loader"
)

// bench is an agent on a host that exists only in memory, with a clock that is
// moved by hand. Everything that reaches kernel, host or wire is in the log, in
// order.
type bench struct {
	*Agent
	t    *testing.T
	now  int64
	set  time.Duration // how far the wall clock was set since the start
	log  []string
	ring []loader.Event

	links   map[string]netio.Link
	own     []netip.Prefix
	routed  map[fakeRoute]bool    // connected routes on the host
	planes  map[string]*fakeGroup // by interface index and vhid
	sendErr error
	readErr error         // of all groups at once
	unread  bool          // that finds no group
	slow    time.Duration // how long the host takes to add an address
	during  func()        // what happens meanwhile
	earlier
	wake chan struct{}

	deaf        bool // the program that receives is gone
	interrupted map[int]uint64
	ifStats     map[string]uint64
}

const second = int64(time.Second)

// startTime is not 0, so that a time that nobody set is told from the start.
const startTime = 1000 * second

// startDay is the time of day at startTime.
var startDay = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newBench(t *testing.T, groups ...config.Group) *bench {
	t.Helper()
	b := newBenchWith(t, nil, groups...)
	b.drain()
	return b
}

// newBenchWith starts on a data plane that an earlier vipd left pins in.
func newBenchWith(t *testing.T, pins []loader.PinnedGroup, groups ...config.Group) *bench {
	t.Helper()
	return newBenchAfter(t, earlier{pins: pins}, groups...)
}

// earlier is what an earlier vipd left.
type earlier struct {
	past   []api.Transition
	pins   []loader.PinnedGroup
	left   []loader.LeftVIP // addresses of groups that the config has no more
	routes []netip.Prefix
}

func newBenchAfter(t *testing.T, was earlier, groups ...config.Group) *bench {
	t.Helper()
	cfg := config.Default()
	cfg.Node.Name = "fw1"
	cfg.Groups = groups
	b := &bench{
		t: t, now: startTime, planes: map[string]*fakeGroup{}, wake: make(chan struct{}, 1),
		links: map[string]netio.Link{}, routed: map[fakeRoute]bool{}, interrupted: map[int]uint64{},
		own: []netip.Prefix{netip.MustParsePrefix("192.0.2.11/24")},
	}
	b.Agent = New(Options{Config: cfg, Log: slog.New(slog.DiscardHandler)})
	b.ctx = t.Context()
	b.sequence = openSequence(filepath.Join(t.TempDir(), "sequence"), time.Unix(1, 0), b.Agent.log)
	t.Cleanup(func() { close(b.sequence.pending) })
	b.host, b.plane = fakeHost{b}, fakePlane{b}
	b.openSender = func(int) (frameSender, error) { return fakeSender{b}, nil }
	b.clock = func() int64 { return b.now }
	b.timeOfDay = func() time.Time { return startDay.Add(time.Duration(b.now-startTime) + b.set) }
	b.checks = checks.New(checks.Options{})
	t.Cleanup(b.checks.Close)
	b.metrics = metrics.New(snapshotSource{b.Agent}, metrics.Options{})
	b.hooks = b.newHooks()
	t.Cleanup(func() { b.hooks.Close(0) })
	b.earlier = was
	for _, tr := range was.past {
		b.history.read = b.history.add(tr)
	}
	b.readPinned()
	for i, g := range groups {
		if _, ok := b.links[g.Interface]; !ok {
			b.links[g.Interface] = netio.Link{Index: 10 + i, Name: g.Interface, Up: true, Ethernet: true}
		}
		if err := b.addGroup(g); err != nil {
			t.Fatal(err)
		}
	}
	b.arrange()
	b.syncPorts()
	b.settleAdopted()
	return b
}

// fakeLink is an interface that is up.
func fakeLink(name string) netio.Link {
	return netio.Link{Index: 10, Name: name, Up: true, Ethernet: true}
}

func testGroup(ifname string, vhid uint8, addresses ...string) config.Group {
	g := config.Group{Interface: ifname, VHID: vhid, AdvBase: 1, Password: config.NewSecret([]byte("secret"))}
	for _, a := range addresses {
		g.Addresses = append(g.Addresses, netip.MustParsePrefix(a))
	}
	return g
}

// pass moves the clock and lets the loop's body run once.
func (b *bench) pass(after time.Duration) {
	b.now += int64(after)
	b.catchUp()
	b.tick()
}

// drain returns what happened since the last call.
func (b *bench) drain() []string {
	out := b.log
	b.log = nil
	return out
}

func (b *bench) note(format string, args ...any) {
	b.log = append(b.log, fmt.Sprintf(format, args...))
}

func (b *bench) expect(want ...string) {
	b.t.Helper()
	if got := b.drain(); !slices.Equal(got, want) {
		b.t.Errorf("actions:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (b *bench) expectState(name string, state election.State, reason election.Reason) {
	b.t.Helper()
	v := b.groups[name].machine.View()
	if v.State != state || v.Reason != reason {
		b.t.Errorf("%s is %s (%s), want %s (%s)", name, v.State, v.Reason, state, reason)
	}
}

// master brings the only group to MASTER and forgets how.
func (b *bench) master() {
	b.t.Helper()
	b.pass(3 * time.Second)
	for _, g := range b.order {
		if s := g.machine.View().State; s != election.Master {
			b.t.Fatalf("%s is %s after the master-down time, want MASTER", g.name, s)
		}
	}
	b.drain()
}

// advert is a foreign advert received now, with the given skew.
func (b *bench) advert(g string, skew uint8) loader.Event {
	gr := b.groups[g]
	return loader.Event{
		At: b.now, IfIndex: gr.port.link.Index, VHID: gr.cfg.VHID, Src: netip.MustParseAddr("192.0.2.12"),
		AdvBase: 1, AdvSkew: skew, Counter: uint64(b.now), TTL: 255,
	}
}

type fakePlane struct{ b *bench }

func (f fakePlane) Attach(ifindex int, ifname string, _ loader.Mode) (loader.Attachment, error) {
	f.b.note("attach %s %d", ifname, ifindex)
	return loader.Attachment{Mode: "generic", Egress: "tcx"}, nil
}

func (f fakePlane) Detach(ifindex int) error {
	f.b.note("detach %d", ifindex)
	return nil
}

func (f fakePlane) Unsettled() []int { return nil }

func (f fakePlane) Settle(ifindex int) (loader.Settled, error) {
	f.b.note("settle %d", ifindex)
	if !f.b.deaf {
		return loader.Settled{Attachment: loader.Attachment{Mode: "generic", Egress: "tcx"}}, nil
	}
	f.b.deaf = false
	f.b.interrupted[ifindex]++
	return loader.Settled{Attachment: loader.Attachment{Mode: "tcx", Egress: "tcx"}, Lost: []string{"xdp"}}, nil
}

func (f fakePlane) Listening(ifindex int) (uint64, bool) { return f.b.interrupted[ifindex], !f.b.deaf }

func (f fakePlane) AddGroup(spec loader.GroupSpec) (planeGroup, error) {
	g := &fakeGroup{b: f.b, name: fmt.Sprintf("%d@%d", spec.IfIndex, spec.VHID)}
	if err := g.take(spec); err != nil {
		return nil, err
	}
	f.b.planes[g.name] = g
	f.b.note("plug %s", g.name)
	return g, nil
}

func (f fakePlane) Pinned() []loader.PinnedGroup           { return f.b.pins }
func (f fakePlane) Unclaimed() []loader.LeftVIP            { return f.b.left }
func (fakePlane) DropUnclaimed() ([]loader.LeftVIP, error) { return nil, nil }

func (f fakePlane) Wake() <-chan struct{} { return f.b.wake }

func (f fakePlane) Drain(dst []loader.Event) ([]loader.Event, error) {
	dst = append(dst, f.b.ring...)
	f.b.ring = nil
	return dst, nil
}

func (fakePlane) DrainTap(dst []loader.Sample) ([]loader.Sample, uint64, error) { return dst, 0, nil }

func (f fakePlane) InterfaceStats(int) (map[string]uint64, error) {
	out := maps.Clone(f.b.ifStats)
	if out == nil {
		out = map[string]uint64{}
	}
	return out, nil
}

func (f fakePlane) Readings(now int64) (func(planeGroup) *loader.Reading, error) {
	return func(g planeGroup) *loader.Reading {
		one, ok := g.(*fakeGroup)
		if !ok || f.b.unread {
			return nil
		}
		answering, _ := one.Answering(now)
		return &loader.Reading{Stats: one.stats, Seen: one.seen, Answering: answering}
	}, f.b.readErr
}

func (fakePlane) Close() error  { return nil }
func (fakePlane) Remove() error { return nil }

type fakeGroup struct {
	b    *bench
	name string
	role loader.Role
	seen loader.Seen

	ifindex int
	vips    []netip.Addr
	stats   loader.GroupStats
}

// take holds what the kernel's map does: an address of an interface has one owner.
func (g *fakeGroup) take(spec loader.GroupSpec) error {
	for _, other := range g.b.planes {
		for _, addr := range spec.VIPs {
			if other != g && other.ifindex == spec.IfIndex && slices.Contains(other.vips, addr) {
				return fmt.Errorf("address %s: %w by another group of that interface", addr, loader.ErrExists)
			}
		}
	}
	g.ifindex, g.vips = spec.IfIndex, slices.Clone(spec.VIPs)
	return nil
}

func (g *fakeGroup) Update(spec loader.GroupSpec) error {
	if err := g.take(spec); err != nil {
		return err
	}
	g.b.note("update %s %d addresses", g.name, len(spec.VIPs))
	return nil
}

func (g *fakeGroup) SetRole(r loader.Role) {
	g.role = r
	lease := "none"
	if r.Lease > g.b.now {
		lease = time.Duration(r.Lease - g.b.now).String()
	}
	g.b.note("role %s %s generation %d lease %s", g.name,
		map[uint8]string{loader.RoleInit: "INIT", loader.RoleBackup: "BACKUP", loader.RoleMaster: "MASTER"}[r.State],
		r.Generation, lease)
}

func (g *fakeGroup) SetSentPriority(p loader.Priority) {
	g.b.note("priority %s %d/%d", g.name, p.AdvBase, p.AdvSkew)
}

func (g *fakeGroup) RecordSent(uint64, [20]byte, loader.Priority) { g.b.note("record sent %s", g.name) }
func (*fakeGroup) SetSequence(uint32)                             {}
func (g *fakeGroup) SetSources([]netip.Addr) error                { return nil }
func (g *fakeGroup) Seen() (loader.Seen, error)                   { return g.seen, nil }
func (g *fakeGroup) Stats() (loader.GroupStats, error)            { return g.stats, nil }

func (g *fakeGroup) VIPStats() (loader.Addresses, error) {
	return nil, nil
}

func (g *fakeGroup) Answering(now int64) (bool, error) {
	return g.role.State == loader.RoleMaster && now < g.role.Lease && g.seen.YieldedGeneration < g.role.Generation, nil
}

func (*fakeGroup) Slot() uint32                       { return 0 }
func (*fakeGroup) SetCapture(bool) error              { return nil }
func (*fakeGroup) TapStats() (loader.TapStats, error) { return loader.TapStats{}, nil }

func (g *fakeGroup) Remove() error {
	g.b.note("unplug %s", g.name)
	if g.b.planes[g.name] == g {
		delete(g.b.planes, g.name)
	}
	return nil
}

type fakeHost struct{ b *bench }

func (h fakeHost) Link(name string) (netio.Link, error) {
	l, ok := h.b.links[name]
	if !ok {
		return netio.Link{}, netio.ErrNoLink
	}
	return l, nil
}

func (h fakeHost) LinkAt(ifindex int) (netio.Link, error) {
	for _, l := range h.b.links {
		if l.Index == ifindex {
			return l, nil
		}
	}
	return netio.Link{}, netio.ErrNoLink
}

func (h fakeHost) Addresses(int) ([]netip.Prefix, error) { return slices.Clone(h.b.own), nil }

func (h fakeHost) SetVIP(ifindex int, ip netip.Addr, _ string, valid time.Duration) error {
	h.b.now += int64(h.b.slow)
	if h.b.during != nil {
		h.b.during()
	}
	h.b.note("add %s to %d for %s", ip, ifindex, valid)
	return nil
}

func (h fakeHost) DelVIP(ifindex int, ip netip.Addr) error {
	h.b.note("del %s from %d", ip, ifindex)
	return nil
}

// fakeRoute is a connected route: the kernel tells those of two interfaces apart.
type fakeRoute struct {
	ifindex int
	prefix  netip.Prefix
}

func (h fakeHost) AddConnectedRoute(ifindex int, vip netip.Prefix) (bool, error) {
	route := fakeRoute{ifindex, vip.Masked()}
	if h.b.routed[route] {
		return false, nil
	}
	h.b.routed[route] = true
	h.b.note("add route %s", vip.Masked())
	return true, nil
}

func (h fakeHost) DelConnectedRoute(ifindex int, vip netip.Prefix) error {
	delete(h.b.routed, fakeRoute{ifindex, vip.Masked()})
	h.b.note("del route %s", vip.Masked())
	return nil
}

func (h fakeHost) DelOwnRoutes(ifindex int, keep func(netip.Prefix) bool) error {
	for _, route := range h.b.routes {
		if !keep(route) {
			h.b.note("del left route %s from %d", route, ifindex)
		}
	}
	return nil
}
func (fakeHost) Neighbour(int, netip.Addr) ([6]byte, error) { return [6]byte{2}, nil }
func (fakeHost) Forwards6(string) bool                      { return false }
func (h fakeHost) AddMAC(int, [6]byte) error                { h.b.note("add virtual mac"); return nil }

func (h fakeHost) DelMAC(int, [6]byte) error { h.b.note("del virtual mac"); return nil }

type fakeSender struct{ b *bench }

func (s fakeSender) Send(frame []byte) error {
	if f, err := wire.ParseAdvertFrame(frame); err == nil {
		s.b.note("advert %d/%d from %s", f.Advert.AdvBase, f.Advert.AdvSkew, f.Src)
		return s.b.sendErr
	}
	s.b.note("gratuitous arp")
	return nil
}
func (fakeSender) Join(netip.Addr) error { return nil }
func (fakeSender) Close() error          { return nil }

var errRefused = errors.New("no buffer space available")
