// SPDX-License-Identifier: Apache-2.0

// Package survey looks at a segment before the first group runs on it: who advertises which VHID or VRID, and who
// answers for an address.
package survey

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/doctor"
	"vipd/agent/hostcheck"
	"vipd/agent/netio"
	"vipd/agent/wire"
)

// maxSpeakers limits what is kept: 255 VHIDs with a few hosts each.
const maxSpeakers = 1024

// Look listens on an interface for a time, and asks the segment for addresses. It changes nothing.
func Look(
	ctx context.Context, host *netio.Host, ifname string, addrs []netip.Addr, d time.Duration,
) (api.Survey, error) {
	out := api.Survey{
		Interface: ifname, Seconds: d.Seconds(),
		Addresses: []string{}, Speakers: []api.SurveySpeaker{}, Answers: []api.SurveyAnswer{},
	}
	link, err := host.Link(ifname)
	if err != nil {
		return out, err
	}
	own, err := host.Addresses(link.Index)
	if err != nil {
		return out, err
	}
	for _, p := range own {
		out.Addresses = append(out.Addresses, p.String())
	}
	if out.Unfit = unfit(&link); out.Unfit != "" {
		return out, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	asked := make(chan error, 1)
	var claims []netio.Claim
	go func() {
		var err error
		claims, err = netio.WhoHas(ctx, link, firstIPv4(own), addrs, func([6]byte) bool { return false })
		asked <- err
	}()
	err = netio.Hear(ctx, link, func(frame []byte) {
		if s, ok := speakerOf(frame); ok && !slices.Contains(out.Speakers, s) && len(out.Speakers) < maxSpeakers {
			out.Speakers = append(out.Speakers, s)
		}
	})
	if err != nil {
		cancel()
	}
	if err = errors.Join(err, <-asked); err != nil {
		return out, err
	}
	for _, c := range claims {
		if c.MAC != link.MAC {
			out.Answers = append(out.Answers, api.SurveyAnswer{
				Address: c.Address.String(), MAC: net.HardwareAddr(c.MAC[:]).String(), Proxy: c.Proxy,
			})
		}
	}
	return out, nil
}

// speakerOf returns who sent an advertisement of CARP or VRRP, or a hello, which only a CARP node sends.
func speakerOf(frame []byte) (api.SurveySpeaker, bool) {
	r, ok := doctor.FromFrame(frame)
	if !ok || r.VHID() == 0 {
		return api.SurveySpeaker{}, false
	}
	s := api.SurveySpeaker{Protocol: api.ProtocolVRRP, ID: int(r.VHID()), Address: r.Src.String()}
	// A VRRP advertisement has a count of addresses where CARP has a constant.
	a, err := wire.ParseAdvert(r.Payload)
	if wire.IsHello(r.Payload) || err == nil && a.AuthLen == wire.AuthLen {
		s.Protocol = api.ProtocolCARP
	}
	return s, true
}

func firstIPv4(own []netip.Prefix) netip.Addr {
	for _, p := range own {
		if p.Addr().Is4() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// unfit returns why no group can run on the interface now, or why nothing would be heard.
func unfit(link *netio.Link) string {
	why := hostcheck.Unfit(link.Name, link)
	if why == "" && !link.Up {
		why = fmt.Sprintf("%s has no link or is down; check the cable, or `ip link set %s up`", link.Name, link.Name)
	}
	return why
}
