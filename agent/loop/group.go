// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/hostcheck"
	"vipd/agent/peers"
	"vipd/agent/view"
	"vipd/loader"
)

// group is one redundancy group at run time: its machine, its entry in the data plane, and what of it is on the host.
// Readers get the published view.
type group struct {
	env     *env
	cfg     *config.Group
	name    string
	machine *election.Machine
	deciding
	iface   *iface
	trouble // why the group cannot leave INIT, its own or its interface's

	entry    entry
	signing  signing
	hearing  hearing
	speaking speaking
	onHost   onHost
	others
	lifecycle lifecycle
	shown     *view.Publisher // what readers see
}

// deciding is when the machine wants to decide, and what it decides.
type deciding struct {
	appointment appointment
	now         election.Instant  // at its last event
	queue       []election.Action // reused by step
	done        int               // of them
}

// others is what the group knows of other hosts, beside what its machine has heard.
type others struct {
	conflicts conflicts
	greeting  greeting
}

// trouble is why a group or an interface cannot be used. There is none while fault is 0; detail is a sentence.
type trouble struct {
	fault     election.Reason
	detail    string
	slotTaken bool // another program is in the XDP slot
}

// attachFailed is the trouble of an interface or group that cannot be attached.
func attachFailed(err error) trouble {
	return trouble{election.ReasonAttachFailed, err.Error(), errors.Is(err, loader.ErrSlotTaken)}
}

// entry is the group's entry in the data plane.
type entry struct {
	plane   PlaneGroup       // nil while the interface cannot be used
	spec    loader.GroupSpec // as the data plane has it
	sources []netip.Addr
	listens bool // in the solicited-node groups of its addresses
}

// lifecycle is where the group comes from, and how it ends.
type lifecycle struct {
	adopted   bool
	late      []election.Action // of the adoption, to be done once the group is in the data plane
	kept      election.Kept     // what the next process is to know of the machine
	removed   bool              // leaves as soon as its machine has let go
	handovers []chan<- api.Handover
}

// newGroup makes a group without a machine.
func newGroup(e *env, cfg *config.Group) (*group, error) {
	g := &group{
		env: e, cfg: cfg, name: cfg.Name(),
		shown: view.NewPublisher(cfg.Name()),
		others: others{greeting: greeting{
			phase: peers.PhaseOf(e.cfg.Node.Name, cfg.Name()), every: view.HelloPeriod,
		}},
	}
	g.planLocal()
	var err error
	g.signing, err = newSigning(cfg)
	return g, err
}

// put sets an entry of a map, which is made with the first one: most maps of most groups stay empty.
func put[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}

func (g *group) planeSpec() loader.GroupSpec {
	ttl := loader.TTLStrict
	if len(g.cfg.Peers) > 0 && g.cfg.PeerTTL != config.PeerTTLStrict {
		ttl = loader.TTLAny
	}
	return loader.GroupSpec{
		IfIndex:        g.iface.link.Index,
		VHID:           g.cfg.VHID,
		NICMAC:         g.iface.link.MAC,
		VIPs:           g.cfg.Addrs(),
		Contexts:       g.signing.contexts,
		Router:         g.iface.forwards,
		TTL:            ttl,
		RequireTrailer: g.cfg.RequireTrailer,
		PeerMemory:     g.env.cfg.Carp.PeerMemory,
		StrictReplay:   g.cfg.Replay == config.ReplayStrict,
	}
}

// plug puts the group into the data plane of its interface, or updates it there. Every netlink event comes by here:
// what did not change is not written again.
func (g *group) plug() error {
	in, e := &g.entry, g.env
	spec, sources := g.planeSpec(), g.iface.sources()
	switch {
	case in.plane == nil:
		p, err := e.plane.AddGroup(spec)
		if err != nil {
			return fmt.Errorf("put %s into the data plane: %w", g.name, err)
		}
		in.plane, g.hearing.withheld = p, [2]election.Instant{}
		e.recorder.Bind(g.name, g.cfg.Interface, g.machine.State().String(), p.Slot(), p)
		// Captures of our own adverts, of this life and the ones before, are replays.
		p.SetSequence(e.sequence.Last())
		g.restorePeers()
	case reflect.DeepEqual(spec, in.spec) && slices.Equal(sources, in.sources):
		return nil
	default:
		if err := in.plane.Update(spec); err != nil {
			return fmt.Errorf("update %s in the data plane: %w", g.name, err)
		}
	}
	if err := in.plane.SetSources(sources); err != nil {
		return fmt.Errorf("set source addresses of %s: %w", g.name, err)
	}
	in.spec, in.sources = spec, sources
	g.listen()
	return nil
}

// unplug takes the group out of the data plane. A machine that is not in INIT goes there, for the reason given.
func (g *group) unplug(why election.Reason) {
	if g.machine.State() != election.Init {
		g.step(election.Down{Reason: why})
	}
	g.settleLocal()
	if g.entry.plane == nil {
		return
	}
	if err := g.entry.plane.Remove(); err != nil {
		g.env.log.Warn("cannot remove the group from the data plane", "group", g.name, "err", err)
	}
	g.entry.plane = nil
	g.listen()
	g.publish()
}

// withdraw takes the group out of the data plane if its machine is in INIT.
func (g *group) withdraw() {
	if g.entry.plane != nil && g.machine.State() == election.Init {
		g.unplug(g.fault)
	}
}

// moveTo gives the group to another interface.
func (g *group) moveTo(p *iface) {
	g.trouble = p.trouble // known to the transition that follows
	g.unplug(cmp.Or(p.fault, election.ReasonInterfaceMissing))
	g.iface = p
}

// stepAside takes a group whose address is the host's own out of the election, and out of the data plane once it has
// said goodbye.
func (g *group) stepAside() {
	if v := g.machine.View(); v.State != election.Init || v.Reason != g.fault && !g.env.leaving(g) {
		g.step(election.Release{Reason: g.fault})
	}
	g.withdraw()
}

// ownAddress reports whether the host has one of the group's addresses as an ordinary one, and then notes it as the
// group's fault.
func (g *group) ownAddress() bool {
	found := g.env.addresses.Ordinary(g.iface.link, g.cfg.Addresses, g.env.links.At)
	if len(found) == 0 {
		return false
	}
	g.trouble = trouble{fault: election.ReasonOwnAddress, detail: hostcheck.OrdinaryDetail(found)}
	return true
}

// start brings a group out of INIT that is there without a reason.
func (g *group) start() {
	if g.fault == election.ReasonOwnAddress {
		g.withdraw()
	}
	if g.fault != 0 || g.entry.plane == nil || g.env.leaving(g) {
		return
	}
	if v := g.machine.View(); v.State == election.Init {
		g.step(election.Demotion{Total: g.env.ledger.total()})
		g.step(election.Up{Reason: upReason(v.Reason)})
	}
}

// upReason names why a group leaves INIT by why it was there.
func upReason(init election.Reason) election.Reason {
	switch init {
	case election.ReasonDisabled:
		return election.ReasonEnabled
	case election.ReasonLinkDown, election.ReasonInterfaceMissing, election.ReasonInterfaceEnslaved:
		return election.ReasonLinkUp
	default:
		return election.ReasonStartup
	}
}

// due reports whether the machine wants to decide, or may.
func (g *group) due(now election.Instant) bool { return g.appointment.due(now) }

// show makes the group's present state visible to readers after a step of its machine. Nearly every step changes
// nothing but a lease or when an advert was heard last, which needs no new view.
func (g *group) show() {
	v, last := g.machine.View(), g.shown.Last()
	expired := g.greeting.book.Expire(g.now)
	if expired || last == nil || g.outdated(last, &v) || !g.shown.Update(&v, &g.hearing.repeats) {
		g.publish()
	} else if g.greeting.report.no == 0 {
		g.arrangeReport(&v, g.now)
	}
}

// outdated reports whether a step may have changed anything that readers see beside the machine.
func (g *group) outdated(last *view.Group, v *election.View) bool {
	return len(last.Unreachable) > 0 || g.speaking.reach.told.Impaired ||
		!slices.Equal(last.Skipped, g.speaking.reach.plan.Skipped) || last.HostFault != g.onHost.fault ||
		last.HasPeer != (len(g.hearing.met) > 0) || last.NoAddress != g.hasNoAddress() ||
		last.MasterProven != g.hearing.masterProven(v) ||
		last.Preempt != g.env.cfg.Carp.Preempt
}

// publish makes the group's present state visible to readers.
func (g *group) publish() {
	now := g.env.clock.Now()
	g.greeting.book.Expire(now)
	out := g.view()
	before := g.shown.Publish(out)
	if before == nil || before.Machine.State != out.Machine.State {
		g.env.metrics.Outdate()
	}
	if before != nil && before.Machine.Distrust != out.Machine.Distrust {
		g.nameBeats(&before.Machine, &out.Machine)
	}
	g.arrangeReport(&out.Machine, now) // it may be due for what has changed
}

// view returns the group's present state.
func (g *group) view() *view.Group {
	out := &view.Group{
		Config: g.cfg, Machine: g.machine.View(), Repeats: g.hearing.repeats, Preempt: g.env.cfg.Carp.Preempt,
		HostFault: g.onHost.fault, Conflicts: g.conflicts.view,
		Unreachable: g.unreachable(), Skipped: slices.Clone(g.speaking.reach.plan.Skipped),
		Fingerprints: g.signing.self.Fingerprints,
	}
	if g.entry.plane != nil {
		out.Plane = g.entry.plane
	}
	if g.iface != nil {
		out.Attachment = g.iface.att
		out.Detail, out.SlotTaken = g.detail, g.slotTaken
	}
	out.Peers, out.HasPeer = g.greeting.book.Peers(), len(g.hearing.met) > 0
	out.NoAddress, out.NotListedAt = g.hasNoAddress(), g.greeting.notListed
	out.MasterProven = g.hearing.masterProven(&out.Machine)
	return out
}
