// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"fmt"
	"time"

	"vipd/agent/election"
	"vipd/agent/view"
)

// loopDead is the age of the loop's last round from which it hangs: it begins one every second at least.
const loopDead = 2 * time.Second

// Alive returns an error while the loop does not run. It does not wait for the loop: a caller that does would keep
// other requests from their turn.
func (o *Operator) Alive() error {
	if age := o.clock.Now().Sub(o.loop.LastRound()); age > loopDead {
		return fmt.Errorf("its last round began %v ago", age.Round(100*time.Millisecond))
	}
	return nil
}

// Unready returns why this node should get no work yet, or no longer; nothing if it is ready. The config is not among
// the reasons: it was accepted before the loop began, and one that is refused later changes nothing. Alive is for the
// caller.
func (o *Operator) Unready() []string {
	var out []string
	if o.loop.Ending() {
		out = append(out, "vipd is stopping")
	}
	node := o.loop.View()
	for _, g := range node.Groups {
		if v := g.Published(); !attached(node, v) {
			out = append(out, fmt.Sprintf("the data plane of %s is not attached: %s", g.Name(), v.Detail))
		}
	}
	return out
}

// attached reports whether the programs see the group's interface, whether or not that has a link.
func attached(node *view.Node, v *view.Group) bool {
	if node.Interface(v.Config.Interface).Index == 0 {
		return false
	}
	return v.Machine.State != election.Init || v.Machine.Reason != election.ReasonAttachFailed
}
