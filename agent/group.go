// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync/atomic"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/wire"
	"vipd/loader"
)

// group is one redundancy group at run time: its machine, its place in the data
// plane, and what of it is on the host now. Only the loop touches it; readers
// get the published view.
type group struct {
	cfg     config.Group
	name    string
	machine *election.Machine
	queue   []election.Action // reused by step
	late    []election.Action // of an adoption, to be done once plugged
	adopted bool

	port *port
	// fault is why the group cannot leave INIT, its own or its port's; "" when all is
	// well. detail says it in a sentence.
	fault  election.Reason
	detail string

	plane planeGroup // nil while the interface is not usable

	spec       loader.GroupSpec // as the data plane has it
	ownSources []netip.Addr

	key    wire.Key
	seal   wire.SealKey
	prefix []byte // the authenticated message up to the counter
	// contexts are all that is accepted; key, seal and prefix are the first of them.
	contexts []loader.AuthContext

	lastHeard    election.Instant // receive time of the newest advert given to the machine
	heardCounter uint64           // counter of that advert, never sent by us next
	limitedAt    int64            // when a digest budget had last run out, as far as told
	blind        bool             // one has since the last tick: silence is no evidence
	deaf         bool             // nobody was listening for a while since then: the same
	onHost       map[netip.Addr]netip.Prefix
	routes       map[netip.Addr]netip.Prefix
	rerouted     bool   // the last renewal found a route of ours deleted
	unfinished   bool   // some addresses are still to be added
	hostFault    string // what of AddVIPs did not work, "" when all did

	removed bool // leaves as soon as its machine has let go

	handovers []chan<- api.Handover // who waits for the end of the one under way

	sends  sendErrors
	counts *groupCounts
	view   atomic.Pointer[groupView]
}

// groupCounts outlive the data plane's own counters, which start anew with a
// re-created interface.
type groupCounts struct {
	sent   atomic.Uint64
	failed atomic.Uint64
}

// groupView is what readers outside the loop may see of a group.
type groupView struct {
	cfg       config.Group
	view      election.View
	plane     planeGroup
	att       loader.Attachment
	detail    string
	interval  int64 // ns of one own advert interval
	onHost    int
	preempt   bool
	hostFault string
}

func newGroup(a *Agent, cfg config.Group) (*group, error) {
	g := &group{
		cfg:    cfg,
		name:   cfg.Name(),
		onHost: map[netip.Addr]netip.Prefix{},
		routes: map[netip.Addr]netip.Prefix{},
		counts: &groupCounts{},
	}
	if err := g.setSecrets(cfg); err != nil {
		return nil, err
	}
	if !a.adopt(g) {
		g.machine = election.New(a.electionConfig(cfg), a.now(), a.firstGeneration)
	}
	return g, nil
}

// setSecrets derives what is authenticated, for every context that is accepted.
// The first one is the one that is signed with.
func (g *group) setSecrets(cfg config.Group) error {
	var contexts []loader.AuthContext
	for i, c := range cfg.Contexts() {
		key, err := wire.NewKey(c.Password.Bytes())
		if err != nil {
			return fmt.Errorf("password of %s (%s): %w", cfg.Name(), c.Name, err)
		}
		prefix, seal := wire.DigestPrefix(cfg.VHID, c.Addresses, cfg.LLAddr), key.SealKey()
		if i == 0 {
			g.key, g.seal, g.prefix = key, seal, prefix
		}
		contexts = append(contexts, loader.AuthContext{
			Key: c.Password.Bytes(), Prefix: prefix, SealKey: loader.SealKey(seal),
		})
	}
	g.contexts = contexts
	return nil
}

func addrsOf(cfg config.Group) []netip.Addr {
	out := make([]netip.Addr, 0, len(cfg.Addresses))
	for _, p := range cfg.Addresses {
		out = append(out, p.Addr())
	}
	return out
}

func (g *group) planeSpec() loader.GroupSpec {
	ttl := loader.TTLStrict
	if len(g.cfg.Peers) > 0 && g.cfg.PeerTTL != config.PeerTTLStrict {
		ttl = loader.TTLAny
	}
	return loader.GroupSpec{
		IfIndex:      g.port.link.Index,
		VHID:         g.cfg.VHID,
		NICMAC:       g.port.link.MAC,
		VIPs:         addrsOf(g.cfg),
		Contexts:     g.contexts,
		Router:       g.port.forwards,
		TTL:          ttl,
		RequireSeal:  g.cfg.RequireSeal,
		StrictReplay: g.cfg.Replay == config.ReplayStrict,
	}
}

// plug puts the group into the data plane of its port and keeps what the data
// plane knows of the interface up to date. Every netlink event comes by here:
// what did not change is not written again.
func (g *group) plug(a *Agent) error {
	spec, sources := g.planeSpec(), g.sources()
	switch {
	case g.plane == nil:
		p, err := a.plane.AddGroup(spec)
		if err != nil {
			return fmt.Errorf("put %s into the data plane: %w", g.name, err)
		}
		g.plane = p
		a.recorder.Bind(g.name, g.cfg.Interface, g.machine.View().State.String(), p.Slot(), p)
		// Captures of our own adverts, of this life and the ones before, are replays.
		g.plane.SetSequence(a.sequence.next)
	case reflect.DeepEqual(spec, g.spec) && slices.Equal(sources, g.ownSources):
		return nil
	default:
		if err := g.plane.Update(spec); err != nil {
			return fmt.Errorf("update %s in the data plane: %w", g.name, err)
		}
	}
	if err := g.plane.SetSources(sources); err != nil {
		return fmt.Errorf("set source addresses of %s: %w", g.name, err)
	}
	g.spec, g.ownSources = spec, sources
	return nil
}

// maxSources is how many own addresses the loop check can hold.
const maxSources = 4

// sources are the addresses that our adverts can come from, those that they do
// come from first.
func (g *group) sources() []netip.Addr {
	var out []netip.Addr
	for _, f := range families {
		if src, err := g.port.source(f); err == nil {
			out = append(out, src)
		}
	}
	for _, pf := range g.port.own {
		if len(out) < maxSources && !slices.Contains(out, pf.Addr()) {
			out = append(out, pf.Addr())
		}
	}
	return out
}

// unplug takes the group out of the data plane; a machine that is not in INIT
// goes there, for the reason given.
func (g *group) unplug(a *Agent, why election.Reason) {
	if g.machine.View().State != election.Init {
		a.step(g, election.Down{Reason: why})
	}
	if g.plane == nil {
		return
	}
	if err := g.plane.Remove(); err != nil {
		a.log.Warn("group not removed from the data plane", "group", g.name, "err", err)
	}
	g.plane = nil
	g.publish(a)
}

// publish makes the group's present state visible to readers.
func (g *group) publish(a *Agent) {
	v := g.machine.View()
	out := &groupView{
		cfg: g.cfg, view: v, plane: g.plane,
		interval: int64(v.Effective.Interval()), onHost: len(g.onHost),
		preempt: a.cfg.Carp.Preempt, hostFault: g.hostFault,
	}
	if g.port != nil {
		out.att = g.port.att
		out.detail = g.detail
	}
	g.view.Store(out)
}
