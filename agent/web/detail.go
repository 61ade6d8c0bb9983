// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"slices"

	"vipd/agent/control/api"
)

const (
	// detailTransitions and detailVIPs limit what the page of one group lists.
	detailTransitions = 20
	detailVIPs        = 256
)

type namedChart struct {
	Title string
	Chart chart
	Total string
}

type vipDetail struct {
	Address, Asked, Answered string
	Chart                    chart
}

// tally is one counter that should not rise.
type tally struct {
	Reason, Count string
	Rose          bool
}

// detail renders the page of one group.
func (s *Server) detail(ctx context.Context, a *ask, snap *snapshot) string {
	g, found := groupOf(snap, a.group)
	if !found {
		return s.pages.fragment("detail", map[string]any{"Found": false, "Name": a.group})
	}
	why, err := s.backend.Why(ctx, g.Name)
	if err != nil {
		why = api.Why{Because: []string{err.Error()}}
	}
	past, err := s.backend.History(ctx, g.Name, detailTransitions)
	if err != nil {
		s.log.Debug("cannot read the history", "group", g.Name, "err", err)
	}
	slices.Reverse(past.Transitions)
	charts, vips, rise := s.hub.charts(g)
	lk := lookOf(g)
	faults := snap.faults[g.Name]
	class := "ok"
	switch {
	case lk.Class == "stuck" || lk.Class == "init" || len(faults) > 0 && faults[0].Severity == critical:
		class = "bad"
	case len(faults) > 0:
		class = "warn"
	case lk.Class == "disabled":
		class = "off"
	}
	return s.pages.fragment("detail", map[string]any{
		"Found":    true,
		"G":        g,
		"Look":     lk,
		"Class":    class,
		"Faults":   faults,
		"Why":      why,
		"Controls": a.loggedIn,
		"Charts":   charts,
		"VIPs":     vips,
		"MoreVIPs": len(g.VIPs) - len(vips),
		"Tally":    tallyOf(g, rise),
		"History":  shown(past.Transitions, snap.incidents),
		"Recorded": recorded(snap.incidents, g.Name),
	})
}

// charts returns the charts of a group and the counters that rose in the last minutes.
func (h *hub) charts(g *api.Group) (charts []namedChart, vips []vipDetail, rise map[string]uint64) {
	h.reading.Lock()
	defer h.reading.Unlock()
	m := h.memory
	gm := m.groups[g.Name]
	if gm == nil {
		return nil, nil, nil
	}
	c := &g.Counters
	for _, x := range []struct {
		title string
		which int
		unit  func(float64) string
		total uint64
	}{
		{"Packets to the virtual MAC", seriesPackets, perSecond, c.Packets},
		{"Traffic to the virtual MAC", seriesBytes, bitsPerSecond, 0},
		{"Advertisements sent", seriesSent, perSecond, c.AdvertisementsSent},
		{"Advertisements received", seriesReceived, perSecond, c.AdvertisementsReceived},
		{"Advertisements refused", seriesRejected, perSecond, gm.last[seriesRejected]},
		{"ARP and ND requests", seriesAsked, perSecond, gm.last[seriesAsked]},
	} {
		n := namedChart{Title: x.title, Chart: draw(x.title, m.line(&gm.series[x.which]), x.unit)}
		if x.total > 0 {
			n.Total = number(x.total)
		}
		charts = append(charts, n)
	}
	for _, v := range g.VIPs[:min(len(g.VIPs), detailVIPs)] {
		d := vipDetail{
			Address:  v.Address,
			Asked:    number(v.ARPRequests + v.NDSolicitations),
			Answered: number(v.ARPReplies + v.NDAdvertisements),
		}
		if vm := gm.vips[v.Address]; vm != nil {
			d.Chart = draw("Requests for "+v.Address, m.line(&vm.asked), perSecond)
		}
		vips = append(vips, d)
	}
	return charts, vips, m.rise(g)
}

func tallyOf(g *api.Group, rise map[string]uint64) []tally {
	var out []tally
	add := func(counts map[string]uint64) {
		reasons := make([]string, 0, len(counts))
		for r := range counts {
			reasons = append(reasons, r)
		}
		slices.Sort(reasons)
		for _, r := range reasons {
			out = append(out, tally{r, number(counts[r]), rise[r] > 0})
		}
	}
	add(g.Counters.AdvertisementsRejected)
	add(g.Counters.FramesDropped)
	return out
}
