// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"strings"
	"time"

	"vipd/agent/election"
	"vipd/agent/sdnotify"
)

const (
	// feedsPerWatchdog is how often the watchdog is fed in the time that it waits.
	feedsPerWatchdog = 4
	// listedGroups is how many groups the status line names one by one.
	listedGroups = 4
)

// supervision is what the loop tells systemd. Only the loop touches it.
type supervision struct {
	notify *sdnotify.Notifier
	nextAt election.Instant // when the watchdog is to be fed
	told   string           // the status line that systemd has
	stale  bool             // it may be another one by now
}

// turn is the beginning of every round of the loop, and nothing else feeds the watchdog:
// a loop that does not go round is restarted.
func (a *Agent) turn() {
	now := a.now()
	a.beat.Store(int64(now))
	s := &a.supervision
	var states []string
	if every := s.notify.Watchdog() / feedsPerWatchdog; every > 0 && now >= s.nextAt {
		states = append(states, sdnotify.Alive)
		s.nextAt = now.Add(every)
	}
	if s.stale && s.notify != nil {
		s.stale = false
		if line := a.statusLine(); line != s.told {
			states = append(states, sdnotify.Status(line))
			s.told = line
		}
	}
	a.tellSystemd(states...)
}

// tellSystemd does not wait. What is not taken is said again with the next change, and
// the watchdog is fed again with the next round.
func (a *Agent) tellSystemd(states ...string) {
	if len(states) == 0 {
		return
	}
	if err := a.supervision.notify.Send(states...); err != nil {
		a.log.Debug("systemd not told", "states", states, "err", err)
	}
}

// longestNap is how long the loop may sleep: the watchdog waits for its rounds.
func (a *Agent) longestNap() time.Duration {
	if w := a.supervision.notify.Watchdog(); w > 0 {
		return min(maxNap, w/feedsPerWatchdog)
	}
	return maxNap
}

// statusLine is the node in one line.
func (a *Agent) statusLine() string {
	var parts []string
	if a.stopping {
		parts = append(parts, "stopping")
	}
	if a.disabled {
		parts = append(parts, "disabled by the operator")
	}
	if _, in := a.ledger.find(demotionMaintenance); in {
		parts = append(parts, "in maintenance")
	} else if total := a.ledger.total(); total != 0 {
		parts = append(parts, fmt.Sprintf("demoted by %d", total))
	}
	if len(a.order) <= listedGroups {
		for _, g := range a.order {
			v := g.machine.View()
			text := g.name + " " + v.State.String()
			if v.State == election.Init {
				text += " (" + v.Reason.String() + ")"
			}
			parts = append(parts, text)
		}
	} else {
		counts := map[election.State]int{}
		for _, g := range a.order {
			counts[g.machine.View().State]++
		}
		for _, s := range []election.State{election.Master, election.Backup, election.Init} {
			parts = append(parts, fmt.Sprintf("%d %s", counts[s], s))
		}
	}
	if len(parts) == 0 {
		return "no group is configured"
	}
	return strings.Join(parts, ", ")
}
