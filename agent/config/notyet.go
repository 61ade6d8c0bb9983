// SPDX-License-Identifier: Apache-2.0

package config

// notInThisRelease refuses what is valid and would not be done: an operator must
// never believe that an address is protected when it is not. It goes when the agent
// can do it all.
func notInThisRelease(r *report, drafts []*draft) {
	for _, d := range drafts {
		for i, a := range d.group.Addresses {
			if a.Addr().Is6() {
				r.problem(d.addrLines[i], "addresses", "%s is IPv6, which is not yet in this release; allowed are IPv4 addresses", a)
			}
		}
		if len(d.group.Peers) > 0 {
			r.problem(d.line("peers"), "peers", "unicast peers are not yet in this release; leave the key out to use multicast")
		}
		if d.group.AdvBase == 0 && d.group.AdvSkew > 0 {
			r.problem(d.line("advbase"), "advbase", "intervals below one second (advbase 0) are not yet in this release; allowed is 1..254")
		}
		if d.group.Hook != "" {
			r.warn(d.line("hook"), "hook", "hooks are not yet run in this release")
		}
	}
}
