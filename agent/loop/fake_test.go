// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/checks"
	"vipd/agent/clock"
	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/events"
	"vipd/agent/hooks"
	"vipd/agent/metrics"
	"vipd/agent/netio"
	"vipd/agent/operator"
	"vipd/agent/programs"
	"vipd/agent/record"
	"vipd/agent/state"
	"vipd/agent/state/keep"
	"vipd/agent/state/proven"
	"vipd/agent/state/sequence"
	"vipd/agent/view"
	"vipd/agent/wire"
	"vipd/loader"
)

// bench is a loop with its operator on a host that exists only in memory, with a clock that is
// moved by hand. Everything that reaches kernel, host or wire is in the log, in
// order.
type bench struct {
	*Loop
	operator *operator.Operator
	intent   operator.Intent
	source   operator.Source
	leaves   int // how often a restart asked the daemon to leave

	t    testing.TB
	now  int64
	boot func() int64
	room config.Size   // of the data plane; the zero value is enough for every test
	set  time.Duration // how far the wall clock was set since the start
	log  []string
	ring []loader.Event

	claims     []loader.Claim
	hellos     []loader.HelloEvent // that the kernel has accepted
	reports    []wire.HelloFrame   // that were sent
	links      map[string]netio.Link
	own        []netip.Prefix
	hostRoutes []netio.Route
	foreign    []netio.Address       // further ordinary addresses
	vips       map[fakeRoute]bool    // virtual addresses on the host
	routed     map[fakeRoute]bool    // connected routes on the host
	local      map[fakeRoute]bool    // local routes on the host
	listening  map[int]int           // how many solicited-node groups, by interface
	planes     map[string]*fakeGroup // by interface index and vhid
	sendErr    error
	sendErr6   error                          // of IPv6 frames alone
	away       map[netip.Addr]error           // why the neighbour entry of a peer is not there
	readErr    error                          // of all groups at once
	unlisted   error                          // why the addresses of the host cannot be read
	refused    error                          // why the host takes no address
	unread     bool                           // that finds no group
	dumps      struct{ links, addresses int } // how often they were read
	slow       time.Duration                  // how long the host takes to add an address
	during     func()                         // what happens meanwhile
	removed    func()                         // called after each removal of an address or local route
	calls      []int                          // adverts and hellos of each call that sent some
	placed     []int                          // addresses and MACs of each call that put some on the host
	asked      int                            // for neighbours
	recorded   func(plane string)             // called with each advert that the kernel is to recognise
	confirmed  func(number uint64)            // called with each that has left
	sending    func([]netio.Frame)            // called before a call sends
	earlier
	wake chan struct{}

	deaf        bool  // the program that receives is gone
	unseenAt    int64 // of each address
	nativeOnly  error
	resetting   bool // programs were attached in native mode a moment ago
	interrupted map[int]uint64
	ifStats     map[string]uint64
}

const second = int64(time.Second)

// startTime is not 0, so that a time that nobody set is told from the start.
const startTime = 1000 * second

// startDay is the time of day at startTime.
var startDay = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newBench(t testing.TB, groups ...config.Group) *bench {
	t.Helper()
	b := newBenchWith(t, nil, groups...)
	b.drain()
	return b
}

// newBenchWith starts on a data plane that an earlier vipd left pins in.
func newBenchWith(t testing.TB, pins []loader.PinnedGroup, groups ...config.Group) *bench {
	t.Helper()
	return newBenchAfter(t, earlier{pins: pins}, groups...)
}

// earlier is what an earlier vipd left.
type earlier struct {
	past      []api.Transition
	pins      []loader.PinnedGroup
	left      []loader.LeftVIP // addresses of groups that the config has no more
	routes    []netip.Prefix
	routed    bool // it had local routes, not addresses
	taking    bool // it was killed while it took its addresses off
	kept      keep.Memory
	peers     *proven.Store
	config    []config.Check // checks of the config now
	inherited map[int]bool   // interfaces whose programs are still those of that one
	ended     int64          // when it did, on the clock of the bench; 0: startTime
}

// looseDir is a directory in which a writer that nobody waits for may still be at work when the test ends.
func looseDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vipd-agent") //nolint:usetesting // t.TempDir fails where the writer is still at work
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newBenchAfter(t testing.TB, was earlier, groups ...config.Group) *bench {
	t.Helper()
	cfg := config.Default()
	cfg.Node.Name = "fw1"
	cfg.Groups, cfg.Checks = groups, was.config
	b := &bench{
		t:           t,
		now:         cmp.Or(was.ended, startTime),
		planes:      map[string]*fakeGroup{},
		wake:        make(chan struct{}, 1),
		links:       map[string]netio.Link{},
		routed:      map[fakeRoute]bool{},
		local:       map[fakeRoute]bool{},
		listening:   map[int]int{},
		vips:        map[fakeRoute]bool{},
		interrupted: map[int]uint64{},
		own:         []netip.Prefix{netip.MustParsePrefix("192.0.2.11/24")},
	}
	b.earlier = was
	b.intent.Peers = was.peers
	dir := looseDir(t)
	numbers := sequence.Open(sequence.Options{
		Note: filepath.Join(dir, "note"), Reservation: filepath.Join(dir, "sequence"), Now: time.Unix(1, 0),
		Boot: func() int64 { return 0 }, // so that numbers rise by one
	})
	t.Cleanup(numbers.Close)
	b.boot = func() int64 { return b.now }
	day := func() time.Time { return startDay.Add(time.Duration(b.now-startTime) + b.set) }
	for i, g := range groups {
		if _, ok := b.links[g.Interface]; !ok {
			b.links[g.Interface] = netio.Link{Index: 10 + i, Name: g.Interface, Up: true, Ethernet: true}
		}
	}
	for _, p := range was.pins {
		for _, addr := range p.VIPs {
			there := p.Role.State == loader.RoleMaster || was.taking
			switch {
			case there && was.routed:
				b.local[fakeRoute{p.IfIndex, netip.PrefixFrom(addr, addr.BitLen())}] = true
			case there:
				b.vips[fakeRoute{p.IfIndex, netip.PrefixFrom(addr, addr.BitLen())}] = true
			}
		}
	}
	o := Options{
		Config: cfg, Log: slog.New(slog.DiscardHandler),
		Clock: clock.Of(func() int64 { return b.boot() }, day),
		Host:  fakeHost{b}, Plane: fakePlane{b}, Sequence: numbers,
		Outlets: Outlets{
			On:      func(int) (Sender, error) { return fakeSender{}, nil },
			SendAll: b.sendAll, Solicited: fakeHost{b},
		},
		Checks:  checks.New(checks.Options{Verdicts: Verdicts(was.kept)}),
		History: state.NewHistory(slog.New(slog.DiscardHandler), was.past...),
		Events:  &events.Stream{},
		Hooks:   hooks.New(hooks.Options{Report: func(r hooks.Result) { b.HookEnded(r) }}),
		Metrics: metrics.New(snapshots{b}, metrics.Options{}),
		Before:  Before{Memory: was.kept, Peers: was.peers},
	}
	o.Recorder = record.New(record.Options{
		Log: o.Log, Node: cfg.Node.Name, Memory: cfg.Record.Memory << 20, Incidents: cfg.Record.Incidents,
		Boot: func() int64 { return int64(o.Clock.Now()) }, Wall: o.Clock.TimeOfDay,
	})
	t.Cleanup(o.Checks.Close)
	t.Cleanup(func() { o.Hooks.Close(0) })
	b.Loop = New(o)
	b.source.Reloading = func() func() { return func() {} }
	b.source.Parse = func(f *api.ConfigFile) (*config.Config, []config.Problem, error) {
		return config.Parse(f.Name, f.Text, config.Options{Mode: fs.FileMode(f.Mode).Perm()})
	}
	b.operator = operator.New(operator.Options{
		Loop: operatorLoop{b.Loop}, Clock: o.Clock, Plane: fakePlane{b}, Host: fakeHost{b}, Checks: o.Checks, Hooks: o.Hooks,
		Programs: programs.NewWatch(programs.Host{}), Recorder: o.Recorder, History: o.History, Events: o.Events,
		Intent: &b.intent, Source: &b.source, Log: o.Log,
		Successor: operator.Successor{
			Check: func(context.Context, *config.Config) error { return nil },
			Leave: func() { b.leaves++ },
		},
	})
	if err := b.Begin(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.alarm.Close() })
	b.checks.Reconcile(cfg.Checks)
	b.syncChecks()
	b.syncInterfaces()
	b.finishAdoption()
	return b
}

// snapshots implements metrics.Source.
type snapshots struct{ b *bench }

func (s snapshots) Snapshot() metrics.Snapshot { return s.b.operator.Snapshot() }

// operatorLoop implements operator.Loop, as in package agent.
type operatorLoop struct{ *Loop }

func (l operatorLoop) Do(ctx context.Context, fn func(operator.Commands)) error {
	return l.Loop.Do(ctx, func(c Commands) { fn(c) })
}

func (l operatorLoop) Await(ctx context.Context, holds func(operator.Commands) bool) error {
	return l.Loop.Await(ctx, func(c Commands) bool { return holds(c) })
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
	b.expectShown()
}

// expectShown checks that what makes a step visible leaves out nothing that readers see.
func (b *bench) expectShown() {
	b.t.Helper()
	for _, g := range b.groups.order {
		g.now = b.clock.Now()
		g.show()
		seen, has := *g.shown.Live().Now(), *g.view()
		if repeats := has.Repeats; has.Plane != nil {
			if _, n := repeats.Withheld(view.HeardAt(has.Plane.Heard()), election.Never); n > 0 {
				continue // the machine has not heard of it yet
			}
		}
		seen.Peers, has.Peers = nil, nil // when one was heard last may be a second old
		for i := range reflect.TypeFor[view.Group]().NumField() {
			field := reflect.TypeFor[view.Group]().Field(i).Name
			sees, is := reflect.ValueOf(seen).Field(i).Interface(), reflect.ValueOf(has).Field(i).Interface()
			if field != "Repeats" && !reflect.DeepEqual(sees, is) {
				b.t.Errorf("%s: readers see %s\n%+v\nand the loop has\n%+v", g.name, field, sees, is)
			}
		}
	}
}

// status returns what the API shows of the node.
func (b *bench) status() api.Status {
	b.t.Helper()
	st, err := b.operator.Status(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return st
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
	v := b.group(name).machine.View()
	if v.State != state || v.Reason != reason {
		b.t.Errorf("%s is %s (%s), want %s (%s)", name, v.State, v.Reason, state, reason)
	}
}

// master brings the only group to MASTER and forgets how.
func (b *bench) master() {
	b.t.Helper()
	b.pass(3 * time.Second)
	for _, g := range b.groups.order {
		if s := g.machine.View().State; s != election.Master {
			b.t.Fatalf("%s is %s after the master-down time, want MASTER", g.name, s)
		}
	}
	b.drain()
}

// group returns a group by its name.
func (b *bench) group(name string) *group { return b.groups.byName[name] }

// advert is a foreign advert received now, with the given skew.
func (b *bench) advert(g string, skew uint8) loader.Event {
	gr := b.group(g)
	return loader.Event{
		At: b.now, IfIndex: gr.iface.link.Index, VHID: gr.cfg.VHID, Src: netip.MustParseAddr("192.0.2.12"),
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

func (f fakePlane) Inherited(ifindex int) bool { return f.b.inherited[ifindex] }

func (f fakePlane) Pending() bool { return len(f.b.inherited) > 0 }

func (f fakePlane) Exchange() error { return nil }

func (f fakePlane) NeedRepair() []int { return nil }

func (f fakePlane) Repair(ifindex int) (loader.Repaired, error) {
	f.b.note("repair %d", ifindex)
	if !f.b.deaf {
		return loader.Repaired{Attachment: loader.Attachment{Mode: "generic", Egress: "tcx"}}, nil
	}
	f.b.deaf = false
	f.b.interrupted[ifindex]++
	return loader.Repaired{Attachment: loader.Attachment{Mode: "tc", Egress: "tcx"}, Lost: []string{"xdp"}}, nil
}

func (f fakePlane) Attended(ifindex int) (uint64, bool) { return f.b.interrupted[ifindex], !f.b.deaf }

func (f fakePlane) FallBack(ifindex int) (map[int]loader.Attachment, error) {
	f.b.note("fall back %d", ifindex)
	return map[int]loader.Attachment{ifindex: {Mode: "tc", FellBack: "answers_unseen"}}, f.b.nativeOnly
}

func (f fakePlane) Resetting(int) bool { return f.b.resetting }

func (f fakePlane) Room() config.Size {
	return cmp.Or(f.b.room, config.Size{Groups: 1000, Addresses: 1000})
}

func (f fakePlane) AddGroup(spec loader.GroupSpec) (PlaneGroup, error) {
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

func (f fakePlane) Claims(dst []loader.Claim) []loader.Claim {
	dst = append(dst, f.b.claims...)
	f.b.claims = nil
	return dst
}

func (f fakePlane) Hellos(dst []loader.HelloEvent) []loader.HelloEvent {
	dst = append(dst, f.b.hellos...)
	f.b.hellos = f.b.hellos[:0]
	return dst
}

func (fakePlane) DrainTap(dst []loader.Sample) ([]loader.Sample, uint64, error) { return dst, 0, nil }

func (f fakePlane) InterfaceStats(int) (map[string]uint64, error) {
	out := maps.Clone(f.b.ifStats)
	if out == nil {
		out = map[string]uint64{}
	}
	return out, nil
}

func (f fakePlane) Readings(now int64) (func(view.Plane) *loader.Reading, error) {
	return func(g view.Plane) *loader.Reading {
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
	stranger netip.Addr // that the kernel does not remember
	b        *bench
	name     string
	role     loader.Role
	seen     loader.Seen

	ifindex  int
	vips     []netip.Addr
	stats    loader.GroupStats
	withhold [2]int64 // repetitions of what
	heard    [2]loader.Heard
	read     int // how often the seen entry was
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

func (g *fakeGroup) RecordSent(uint64, [20]byte, loader.Priority) {
	g.b.note("record sent %s", g.name)
	if g.b.recorded != nil {
		g.b.recorded(g.name)
	}
}

func (g *fakeGroup) ConfirmSent(number uint64) {
	if g.b.confirmed != nil {
		g.b.confirmed(number)
	}
}

func (g *fakeGroup) Latest(int64) (loader.Seen, error) { return g.Seen() }

func (g *fakeGroup) Seen() (loader.Seen, error) {
	g.read++
	return g.seen, nil
}

func (*fakeGroup) SetSequence(uint64)                  {}
func (g *fakeGroup) SetSources([]netip.Addr) error     { return nil }
func (g *fakeGroup) Withhold(repeatsOf [2]int64)       { g.withhold = repeatsOf }
func (g *fakeGroup) Heard() [2]loader.Heard            { return g.heard }
func (g *fakeGroup) Stats() (loader.GroupStats, error) { return g.stats, nil }

func (g *fakeGroup) VIPStats() (loader.Addresses, error) {
	return loader.Addresses{{UnseenAt: g.b.unseenAt}}, nil
}

func (g *fakeGroup) Answering(now int64) (bool, error) {
	return g.role.State == loader.RoleMaster && now < g.role.Lease && g.seen.YieldedGeneration < g.role.Generation, nil
}

func (g *fakeGroup) PutPeer(p loader.Peer) error {
	g.b.note("put peer %s %s %d", g.name, p.Addr, p.Number)
	return nil
}

func (g *fakeGroup) ForgetPeer(addr netip.Addr) (bool, error) {
	g.b.note("forget peer %s %s", g.name, addr)
	return addr != g.stranger, nil
}

func (g *fakeGroup) ExpirePeer(addr netip.Addr, at int64) (bool, error) {
	g.b.note("expire peer %s %s %d", g.name, addr, at)
	return at < second, nil
}

func (g *fakeGroup) ForgetNoRoom(int64) error { g.seen.NoRoomAt = 0; return nil }

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

func (h fakeHost) Link(name string) (netio.Link, error) { return h.read().Named(name) }

func (h fakeHost) LinkAt(ifindex int) (netio.Link, error) { return h.read().At(ifindex) }

func (h fakeHost) read() *netio.Links {
	all, _ := h.AllLinks()
	return netio.NewLinks(all)
}

// AllLinks has b.links, whose keys are names: two keys of one link are its name and an alternative one.
func (h fakeHost) AllLinks() ([]netio.Link, error) {
	h.b.dumps.links++
	var out []netio.Link
	for _, name := range slices.Sorted(maps.Keys(h.b.links)) {
		l := h.b.links[name]
		if l.Name != name {
			if main, found := h.b.links[l.Name]; found && main.Index == l.Index {
				continue
			}
			l.Name = name
		}
		for other, alias := range h.b.links {
			if other != name && alias.Index == l.Index {
				l.AltNames = append(l.AltNames, other)
			}
		}
		out = append(out, l)
	}
	return out, h.b.unlisted
}

func (h fakeHost) Routes(keep func(netio.Route) bool) ([]netio.Route, error) {
	return slices.DeleteFunc(slices.Clone(h.b.hostRoutes), func(r netio.Route) bool { return !keep(r) }), nil
}

// AllAddresses has b.own on every interface, and what was put there.
func (h fakeHost) AllAddresses() ([]netio.Address, error) {
	h.b.dumps.addresses++
	out := slices.Clone(h.b.foreign)
	for _, l := range h.b.links {
		for _, p := range h.b.own {
			out = append(out, netio.Address{IfIndex: l.Index, Prefix: p})
		}
	}
	for at := range h.b.vips {
		out = append(out, netio.Address{IfIndex: at.ifindex, Prefix: at.prefix, Ours: true})
	}
	return out, h.b.unlisted
}

func (h fakeHost) Place(what []netio.Placing) {
	h.b.placed = append(h.b.placed, len(what))
	for i := range what {
		what[i].Err = h.place(&what[i])
	}
}

func (h fakeHost) place(p *netio.Placing) error {
	if !p.Addr.IsValid() {
		h.b.note("add virtual mac")
		return nil
	}
	for _, a := range h.b.foreign {
		if p.Add && a.IfIndex == p.IfIndex && a.InWay(p.Addr) {
			return netio.ErrForeign
		}
	}
	if h.b.refused != nil {
		return h.b.refused
	}
	h.b.vips[fakeRoute{p.IfIndex, netip.PrefixFrom(p.Addr, p.Addr.BitLen())}] = true
	h.b.now += int64(h.b.slow)
	if h.b.during != nil {
		h.b.during()
	}
	if p.Add {
		h.b.note("add %s to %d", p.Addr, p.IfIndex)
	} else {
		h.b.note("renew %s on %d", p.Addr, p.IfIndex)
	}
	return nil
}

func (h fakeHost) DelVIP(ifindex int, ip netip.Addr) error {
	delete(h.b.vips, fakeRoute{ifindex, netip.PrefixFrom(ip, ip.BitLen())})
	if h.b.removed != nil {
		h.b.removed()
	}
	h.b.note("del %s from %d", ip, ifindex)
	return nil
}

// fakeRoute is a connected route: the kernel tells those of two interfaces apart.
type fakeRoute struct {
	ifindex int
	prefix  netip.Prefix
}

func inTable(vip netip.Prefix, table int) string {
	if table == 0 {
		return vip.Masked().String()
	}
	return fmt.Sprintf("%s table %d", vip.Masked(), table)
}

func (h fakeHost) AddConnectedRoute(ifindex, table int, vip netip.Prefix) (bool, error) {
	route := fakeRoute{ifindex, vip.Masked()}
	if h.b.routed[route] {
		return false, nil
	}
	h.b.routed[route] = true
	h.b.note("add route %s", inTable(vip, table))
	return true, nil
}

func (h fakeHost) DelConnectedRoute(ifindex, table int, vip netip.Prefix) error {
	delete(h.b.routed, fakeRoute{ifindex, vip.Masked()})
	h.b.note("del route %s", inTable(vip, table))
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

func (h fakeHost) AddLocal(ifindex, _ int, prefixes []netip.Prefix) error {
	if h.b.refused != nil {
		return h.b.refused
	}
	for _, p := range prefixes {
		h.b.local[fakeRoute{ifindex, p}] = true
		h.b.now += int64(h.b.slow)
		h.b.note("add local %s to %d", p, ifindex)
	}
	return nil
}

func (h fakeHost) DelLocal(ifindex, _ int, prefixes []netip.Prefix) error {
	for _, p := range prefixes {
		delete(h.b.local, fakeRoute{ifindex, p})
		if h.b.removed != nil {
			h.b.removed()
		}
		h.b.note("del local %s from %d", p, ifindex)
	}
	return nil
}

func (h fakeHost) Local(ifindex, _ int) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for at := range h.b.local {
		if at.ifindex == ifindex {
			out = append(out, at.prefix)
		}
	}
	return out, h.b.unlisted
}

func (h fakeHost) DelLeftLocal(ifindex int, left func(netip.Prefix) bool) error {
	there, err := h.Local(ifindex, 0)
	if err != nil {
		return err
	}
	return h.DelLocal(ifindex, 0, slices.DeleteFunc(there, func(p netip.Prefix) bool { return !left(p) }))
}

func (h fakeHost) Run(context.Context) {}

func (h fakeHost) Want(ifindex int, vips []netip.Addr) { h.b.listening[ifindex] = len(vips) }

func (h fakeHost) Neighbour(_ int, peer netip.Addr) ([6]byte, error) {
	h.b.asked++
	return [6]byte{2}, h.b.away[peer]
}

func (h fakeHost) DelMAC(int, [6]byte) error { h.b.note("del virtual mac"); return nil }

// take is what becomes of a frame that is sent.
func (b *bench) take(frame []byte) error {
	if f, err := wire.ParseAdvertFrame(frame); err == nil {
		b.note("advert %d/%d from %s", f.Advert.AdvBase, f.Advert.AdvSkew, f.Src)
		if f.Src.Is6() && b.sendErr6 != nil {
			return b.sendErr6
		}
		return b.sendErr
	}
	if f, err := wire.ParseHelloFrame(frame); err == nil {
		b.reports = append(b.reports, f)
		return b.sendErr
	}
	b.note("gratuitous arp")
	return nil
}

// sendAll is netio.Sender.SendAll.
func (b *bench) sendAll(frames []netio.Frame) {
	adverts := framesOf(frames, func(f []byte) error { _, err := wire.ParseAdvertFrame(f); return err })
	hellos := framesOf(frames, func(f []byte) error { _, err := wire.ParseHelloFrame(f); return err })
	if n := len(adverts) + len(hellos); n > 0 {
		b.calls = append(b.calls, n)
	}
	if b.sending != nil && len(adverts) > 0 {
		b.sending(adverts)
	}
	for i := range frames {
		frames[i].Err = b.take(frames[i].Data)
	}
}

// framesOf returns those that can be parsed.
func framesOf(frames []netio.Frame, parse func([]byte) error) []netio.Frame {
	return slices.DeleteFunc(slices.Clone(frames), func(f netio.Frame) bool { return parse(f.Data) != nil })
}

type fakeSender struct{}

func (fakeSender) Join(netip.Addr) error { return nil }
func (fakeSender) Close() error          { return nil }

var errRefused = errors.New("no buffer space available")
