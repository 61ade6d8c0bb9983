// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"
	"time"

	"vipd/agent/control/api"
)

// Settings of this host that contradict the config, and processes that interfere with vipd.

func hostRules() []Rule {
	return []Rule{
		{
			Code:    CodeOwnAddress,
			OK:      "no virtual address is an ordinary address of this host",
			Found:   "a virtual address is an ordinary address of this host",
			Passive: true,
			group:   ownAddress,
		},
		{
			Code:    CodeAddressRemoved,
			OK:      "no other process removes virtual addresses",
			Found:   "another process removes virtual addresses",
			Passive: true,
			group:   addressRemoved,
		},
		{
			Code:    CodeRoutesLost,
			OK:      "no routes were removed with virtual addresses",
			Found:   "routes were removed with virtual addresses",
			Passive: true,
			group:   routesLost,
		},
		{
			Code:  CodeHostConfig,
			OK:    "the interfaces have their own addresses, and no routes depend on virtual ones",
			Found: "an interface lacks an address of its own, or routes depend on virtual ones",
			group: hostConfig,
		},
	}
}

const reasonOwnAddress = "own_address"

func ownAddress(_ *Facts, g *Group) outcome {
	if g.State != api.StateInit || g.Reason != reasonOwnAddress {
		return outcome{}
	}
	return fault("A virtual address is an ordinary address of this host, so the group does not take part: "+g.Detail+".",
		"Remove the address from the interface and from the network configuration; the group then starts automatically. "+
			"If the host needs it, give the group another address.")
}

// removedLately is how long after the last removal the fault is reported.
const removedLately = time.Minute

func addressRemoved(f *Facts, g *Group) outcome {
	if g.Restored == 0 || f.Time.Sub(g.RestoredAt) > removedLately {
		return outcome{}
	}
	return fault(
		fmt.Sprintf("Another process removes virtual addresses from this host while it is MASTER: %d restored so far, the "+
			"last one %s ago.", g.Restored, ago(f, g.RestoredAt)),
		"vipd restores them. `ip monitor address` shows when they are removed; configure network managers and scripts "+
			"(`ip addr flush`) not to touch addresses that vipd has added.",
	)
}

func routesLost(_ *Facts, g *Group) outcome {
	if len(g.LostRoutes) == 0 {
		return outcome{}
	}
	return fault(
		"The kernel removed routes of this host together with virtual addresses, and nothing has restored them: "+
			strings.Join(g.LostRoutes, ", ")+".",
		fmt.Sprintf("Give %s an address of its own, and the routes a source that stays; or let a hook add them at each "+
			"transition to MASTER.", g.Interface),
	)
}

func hostConfig(_ *Facts, g *Group) outcome {
	var all outcome
	for _, note := range g.HostNotes {
		o := warning("This host does not fit the group: "+note+".", "docs/doctor.md describes the consequences.")
		all.findings = append(all.findings, o.findings...)
	}
	return all
}
