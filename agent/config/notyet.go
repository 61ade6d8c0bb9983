// SPDX-License-Identifier: Apache-2.0

package config

// notYet is one key whose value the agent would not honour.
type notYet struct {
	used bool
	key  string
	what string
}

// notInThisRelease refuses what is valid and would not be done: an operator must
// never believe that an address is protected when it is not. Deleting a line switches
// its key on; the file goes when the agent can do it all.
func notInThisRelease(r *report, drafts []*draft) {
	for _, d := range drafts {
		g := &d.group
		for _, n := range []notYet{
			{g.RequireSeal, "require_seal", "sealed adverts are not yet in this release; leave the key out"},
			{g.Replay != ReplayOff, "replay", "a strict replay check is not yet in this release; leave the key out"},
		} {
			if n.used {
				r.problem(d.line(n.key), n.key, "%s", n.what)
			}
		}
		if g.Hook != "" {
			r.warn(d.line("hook"), "hook", "hooks are not yet run in this release")
		}
	}
}
