// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"vipd/agent/config"
	"vipd/agent/doctor"
	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/wire"
)

func vmacOf(f *doctor.Group) [6]byte { return wire.VirtualMAC(f.VHID) }

// watch lets the recorder listen to the wire and asks the segment, for that long.
func (e *examination) watch(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var wg sync.WaitGroup
	e.ask(ctx, &wg)
	<-ctx.Done()
	wg.Wait()
}

// rejects are what the recorder kept of the refused adverts of a group since the watch
// began.
func (e *examination) rejects(g *group, at func(election.Instant) time.Time) []doctor.Reject {
	var out []doctor.Reject
	for _, s := range e.a.recorder.Rejects(g.name) {
		if s.At < int64(e.before.at) {
			continue
		}
		if r, ok := doctor.FromFrame(s.Data); ok {
			r.At, r.Reason = at(election.Instant(s.At)), cmp.Or(s.Reason, s.Kind.String())
			out = append(out, r)
		}
	}
	return out
}

// askedBefore is how long before the watch questions still count: a client asks three
// times in as many seconds.
const askedBefore = 10 * time.Second

// questions are those of the clients, lately.
func (e *examination) questions(g *group, at func(election.Instant) time.Time) []doctor.Ask {
	var out []doctor.Ask
	for _, s := range e.a.recorder.Questions(g.name) {
		if s.At < int64(e.before.at.Add(-askedBefore)) {
			continue
		}
		if q, ok := doctor.AskFromFrame(s.Data); ok {
			q.At = at(election.Instant(s.At))
			out = append(out, q)
		}
	}
	return out
}

// ask asks for the addresses of the groups that take part, interface by interface.
func (e *examination) ask(ctx context.Context, wg *sync.WaitGroup) {
	e.claims, e.asked = map[string][]netio.Claim{}, map[string][]netip.Addr{}
	virtual := map[string]map[[6]byte]bool{}
	for _, g := range e.n.groups {
		v := g.view.Load()
		name := v.cfg.Interface
		if v.view.State == election.Init || e.ports[name].ifindex == 0 {
			continue
		}
		if virtual[name] == nil {
			virtual[name] = map[[6]byte]bool{}
		}
		virtual[name][wire.VirtualMAC(v.cfg.VHID)] = true
		for _, peer := range v.cfg.Peers {
			// A BACKUP sends nothing, so the kernel may not know them: it has until the end.
			_, _ = e.host.Neighbour(e.ports[name].ifindex, peer)
		}
		for _, p := range v.cfg.Addresses {
			if len(e.asked[name]) == maxAsked {
				e.skip("not all addresses were asked for, they are too many", doctor.CodeAddressConflict)
				break
			}
			e.asked[name] = append(e.asked[name], p.Addr())
		}
	}
	for name, addrs := range e.asked {
		also := func(mac [6]byte) bool { return virtual[name][mac] }
		wg.Go(func() {
			link, err := e.host.Link(name)
			var claims []netio.Claim
			if err == nil {
				claims, err = netio.WhoHas(ctx, link, addrs, also)
			}
			if err != nil {
				e.skip(err.Error(), doctor.CodeAddressConflict, doctor.CodeNothingHeard, doctor.CodeSecondInterface)
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			e.claims[name] = claims
		})
	}
}

// maxSuspects is how many senders of one group are looked at.
const maxSuspects = 8

// explain finds out what would make the refused digests right.
func (e *examination) explain(ctx context.Context, f *doctor.Facts, views map[string]*group) {
	ctx, cancel := context.WithTimeout(ctx, explainLimit)
	defer cancel()
	for i := range f.Groups {
		g := &f.Groups[i]
		for j := range g.Rejects {
			r := &g.Rejects[j]
			if r.Reason != "bad_hmac" {
				continue
			}
			k := slices.IndexFunc(g.Suspects, func(s doctor.Suspect) bool { return s.Src == r.Src })
			if k < 0 {
				if len(g.Suspects) == maxSuspects {
					continue
				}
				g.Suspects = append(g.Suspects, doctor.Suspect{Src: r.Src})
				k = len(g.Suspects) - 1
			}
			s := &g.Suspects[k]
			s.Count, s.Last, s.SrcMAC = s.Count+1, r.At, r.SrcMAC
		}
		for j := range g.Suspects {
			s := &g.Suspects[j]
			if advert, ok := lastAdvert(g, s.Src); ok {
				q := e.question(views, g.Name)
				q.Advert, q.SrcMAC = advert, s.SrcMAC
				s.Explanation = doctor.Explain(ctx, q)
			}
		}
	}
}

func lastAdvert(g *doctor.Group, src netip.Addr) (wire.Advert, bool) {
	for _, r := range slices.Backward(g.Rejects) {
		if r.Src == src && r.Reason == "bad_hmac" {
			a, err := wire.ParseAdvert(r.Payload)
			return a, err == nil
		}
	}
	return wire.Advert{}, false
}

// question is what may have been signed with, as far as this node knows.
func (e *examination) question(views map[string]*group, name string) doctor.Question {
	cfg := views[name].view.Load().cfg
	q := doctor.Question{Own: signatures(cfg, "")}
	known := map[string]bool{}
	for _, c := range cfg.Contexts() {
		known[string(c.Password.Bytes())] = true
	}
	add := func(words string, password []byte) {
		if key, err := wire.NewKey(password); err == nil && !known[string(password)] {
			known[string(password)] = true
			q.Keys = append(q.Keys, doctor.NamedKey{Name: words, Key: key})
		}
	}
	add("no password at all", nil)
	own := string(cfg.Password.Bytes())
	add("this node's password without the blanks at its ends", []byte(strings.TrimSpace(own)))
	add("this node's password without its blanks, as pfSense and OPNsense take them out", []byte(strings.ReplaceAll(own, " ", "")))
	add("this node's password with a line feed behind it", []byte(own+"\n"))
	add("this node's password with a carriage return behind it", []byte(own+"\r"))
	add("this node's password with a blank behind it", []byte(own+" "))
	p := e.ports[cfg.Interface]
	mac := wire.VirtualMAC(cfg.VHID)
	if at, err := e.host.At(p.ifindex, mac); err == nil { // without it there is less to try
		q.Near = append(q.Near, at...)
	}
	for _, c := range e.claims[cfg.Interface] {
		if c.MAC == mac {
			q.Near = append(q.Near, c.Address)
		}
	}
	for _, g := range e.n.groups {
		if g.name == name {
			continue
		}
		other := g.view.Load().cfg
		q.Others = append(q.Others, signatures(other, g.name)...)
		add("the password of "+g.name, other.Password.Bytes())
		for _, a := range other.Addresses {
			q.Near = append(q.Near, a.Addr())
		}
	}
	q.Subnets = e.subnets(cfg, p.ifindex)
	return q
}

// signatures are the contexts of a group; name stands for it if it is another one.
func signatures(cfg config.Group, name string) []doctor.Signature {
	var out []doctor.Signature
	for _, c := range cfg.Contexts() {
		if key, err := wire.NewKey(c.Password.Bytes()); err == nil { // checked with the config
			out = append(out, doctor.Signature{Name: cmp.Or(name, c.Name), Key: key, Addresses: c.Addresses, LLAddr: cfg.LLAddr})
		}
	}
	return out
}

// subnets are those of the group's addresses and of the interface's own.
func (e *examination) subnets(cfg config.Group, ifindex int) []netip.Prefix {
	own, err := e.host.Addresses(ifindex)
	if err != nil {
		own = nil // fewer to try
	}
	var out []netip.Prefix
	for _, p := range slices.Concat(cfg.Addresses, own) {
		if m := p.Masked(); !p.IsSingleIP() && !p.Addr().IsLinkLocalUnicast() && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}
