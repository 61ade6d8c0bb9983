// SPDX-License-Identifier: Apache-2.0

package loop

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

// supervision is what the loop tells systemd.
type supervision struct {
	env    *env
	notify *sdnotify.Notifier // nil without a supervisor
	nextAt election.Instant   // when the watchdog is to be fed
	told   string             // the status line that systemd has
}

// feed begins every round. Nothing else feeds the watchdog: a loop that does not go round is restarted.
func (s *supervision) feed(now election.Instant) {
	var states []string
	if every := s.notify.Watchdog() / feedsPerWatchdog; every > 0 && now >= s.nextAt {
		states = append(states, sdnotify.Alive)
		s.nextAt = now.Add(every)
	}
	if s.env.stale.statusLine && s.notify != nil {
		s.env.stale.statusLine = false
		if line := s.env.statusLine(); line != s.told {
			states = append(states, sdnotify.Status(line))
			s.told = line
		}
	}
	s.tell(states...)
}

// tell does not wait. What systemd does not take is sent again with the next change, and the watchdog is fed again with
// the next round.
func (s *supervision) tell(states ...string) {
	if len(states) == 0 {
		return
	}
	if err := s.notify.Send(states...); err != nil {
		s.env.log.Debug("systemd not told", "states", states, "err", err)
	}
}

// longestNap is how long the loop may sleep: the watchdog waits for its rounds.
func (s *supervision) longestNap() time.Duration {
	if w := s.notify.Watchdog(); w > 0 {
		return min(maxNap, w/feedsPerWatchdog)
	}
	return maxNap
}

// statusLine is the node in one line.
func (e *env) statusLine() string {
	var parts []string
	if e.stopping {
		parts = append(parts, "stopping")
	}
	if e.disabled {
		parts = append(parts, "disabled by the operator")
	}
	if _, in := e.ledger.find(demotionMaintenance); in {
		parts = append(parts, "in maintenance")
	} else if total := e.ledger.total(); total != 0 {
		parts = append(parts, fmt.Sprintf("demoted by %d", total))
	}
	parts = append(parts, e.groups.states()...)
	if len(parts) == 0 {
		return "no group is configured"
	}
	return strings.Join(parts, ", ")
}

// states names the state of each group, or counts them if they are many.
func (s *groupSet) states() []string {
	var out []string
	if len(s.order) <= listedGroups {
		for _, g := range s.order {
			v := g.machine.View()
			text := g.name + " " + v.State.String()
			if v.State == election.Init {
				text += " (" + v.Reason.String() + ")"
			}
			out = append(out, text)
		}
		return out
	}
	counts := map[election.State]int{}
	for _, g := range s.order {
		counts[g.machine.State()]++
	}
	for _, state := range []election.State{election.Master, election.Backup, election.Init} {
		out = append(out, fmt.Sprintf("%d %s", counts[state], state))
	}
	return out
}
