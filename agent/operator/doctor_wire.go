// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"vipd/agent/config"
	"vipd/agent/doctor"
	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/view"
	"vipd/agent/wire"
)

func vmacOf(f *doctor.Group) [6]byte { return wire.VirtualMAC(f.VHID) }

// watch lets the recorder hear the wire and asks the segment, for that long.
func (e *examination) watch(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var wg sync.WaitGroup
	e.ask(ctx, &wg)
	e.askWithVirtualMAC(ctx, &wg)
	<-ctx.Done()
	wg.Wait()
}

// rejects returns the rejected adverts of a group that the recorder kept since the watch
// began.
func (e *examination) rejects(g *view.Live, at func(election.Instant) time.Time) []doctor.Reject {
	var out []doctor.Reject
	for _, s := range e.o.opts.Recorder.Rejects(g.Name()) {
		if s.At < int64(e.before.at) {
			continue
		}
		if r, ok := doctor.FromFrame(s.Data); ok {
			r.At, r.Reason = at(election.Instant(s.At)), cmp.Or(s.Reason, s.Kind.String())
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return nil
	}
	// On an error, no sender is known to be this node.
	own, _ := e.host.Addresses(e.n.Interface(g.Published().Config.Interface).Index)
	for i := range out {
		out[i].Own = slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Addr() == out[i].Src })
	}
	return out
}

// askedBefore is how long before the watch questions still count: a client asks three
// times within three seconds.
const askedBefore = 10 * time.Second

// questions returns what clients recently asked for.
func (e *examination) questions(g *view.Live, at func(election.Instant) time.Time) []doctor.Ask {
	var out []doctor.Ask
	for _, s := range e.o.opts.Recorder.Questions(g.Name()) {
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
	for _, g := range e.n.Groups {
		v := g.Now()
		name := v.Config.Interface
		if v.Machine.State == election.Init || e.n.Interface(name).Index == 0 {
			continue
		}
		if virtual[name] == nil {
			virtual[name] = map[[6]byte]bool{}
		}
		virtual[name][wire.VirtualMAC(v.Config.VHID)] = true
		for _, peer := range v.Config.Peers {
			// A BACKUP sends nothing, so the kernel may not know them: it has until the end.
			_, _ = e.host.Neighbour(e.n.Interface(name).Index, peer)
		}
		for _, p := range v.Config.Addresses {
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
				kept := e.host.Remember(link.Index, addrs, also)
				claims, err = netio.WhoHas(ctx, link, e.ownIPv4(link.Index, name), addrs, also)
				err = errors.Join(err, kept.Restore())
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

// ownIPv4 returns this node's own address on an interface, as a source of questions; invalid if it has none.
func (e *examination) ownIPv4(ifindex int, ifname string) netip.Addr {
	for _, p := range e.ownNetworks(ifindex, ifname) {
		if p.Addr().Is4() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// ownNetworks returns the addresses of an interface that are not VIPs.
func (e *examination) ownNetworks(ifindex int, ifname string) []netip.Prefix {
	own, err := e.host.Addresses(ifindex)
	if err != nil {
		return nil // fewer questions
	}
	virtual := map[netip.Addr]bool{}
	for _, g := range e.n.Groups {
		if cfg := g.Published().Config; cfg.Interface == ifname {
			for _, p := range cfg.Addresses {
				virtual[p.Addr()] = true
			}
		}
	}
	return slices.DeleteFunc(own, func(p netip.Prefix) bool { return virtual[p.Addr()] })
}

// maxSuspects is how many senders of one group are examined.
const maxSuspects = 8

// explain finds out with what the rejected digests would match.
func (e *examination) explain(ctx context.Context, f *doctor.Facts, views map[string]*view.Live) {
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
				q.Advert, q.SrcMAC, q.Reported = advert, s.SrcMAC, g.Reported(s.Src)
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

// question returns what may have been signed with, as far as this node knows.
func (e *examination) question(views map[string]*view.Live, name string) doctor.Question {
	cfg := views[name].Published().Config
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
	add(
		"this node's password without its blanks, as pfSense and OPNsense take them out",
		[]byte(strings.ReplaceAll(own, " ", "")),
	)
	add("this node's password with a line feed behind it", []byte(own+"\n"))
	add("this node's password with a carriage return behind it", []byte(own+"\r"))
	add("this node's password with a blank behind it", []byte(own+" "))
	for _, v := range variants(own) {
		add(v.words, []byte(v.password))
	}
	p := e.n.Interface(cfg.Interface)
	mac := wire.VirtualMAC(cfg.VHID)
	if at, err := e.host.At(p.Index, mac); err == nil { // without it there is less to try
		q.Near = append(q.Near, at...)
	}
	for _, c := range e.claims[cfg.Interface] {
		if c.MAC == mac {
			q.Near = append(q.Near, c.Address)
		}
	}
	for _, g := range e.n.Groups {
		if g.Name() == name {
			continue
		}
		other := g.Published().Config
		q.Others = append(q.Others, signatures(other, g.Name())...)
		add("the password of "+g.Name(), other.Password.Bytes())
		for _, a := range other.Addresses {
			q.Near = append(q.Near, a.Addr())
		}
	}
	q.Subnets = e.subnets(cfg, p.Index)
	return q
}

// variant is a password as an editor, a shell or a template may have changed it.
type variant struct{ words, password string }

// variants returns what the peers may have instead of our password, from the way in which
// it got into their files.
func variants(own string) []variant {
	const bom = "\ufeff"
	out := []variant{
		{"this node's password behind a byte order mark (BOM)", bom + own},
		{"this node's password without the byte order mark (BOM) before it", strings.TrimPrefix(own, bom)},
		{"this node's password with a carriage return and a line feed behind it", own + "\r\n"},
		{"this node's password behind a blank", " " + own},
	}
	for _, q := range []string{`"`, "'"} {
		out = append(out, variant{"this node's password between quotes", q + own + q},
			variant{"this node's password between quotes and behind a byte order mark (BOM)", bom + q + own + q})
		if bare, ok := strings.CutPrefix(strings.TrimSpace(strings.TrimPrefix(own, bom)), q); ok {
			out = append(out, variant{"this node's password without the quotes around it", strings.TrimSuffix(bare, q)})
		}
	}
	return out
}

// signatures returns the contexts of a group, under name if that is not empty.
func signatures(cfg *config.Group, name string) []doctor.Signature {
	var out []doctor.Signature
	for _, c := range cfg.Contexts() {
		if key, err := wire.NewKey(c.Password.Bytes()); err == nil { // checked with the config
			out = append(out, doctor.Signature{Name: cmp.Or(name, c.Name), Key: key, Addresses: c.Addresses, LLAddr: cfg.LLAddr})
		}
	}
	return out
}

// subnets returns those of the group's addresses and of the interface's own.
func (e *examination) subnets(cfg *config.Group, ifindex int) []netip.Prefix {
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
