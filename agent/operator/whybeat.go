// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"fmt"
	"time"

	"vipd/agent/election"
)

// timeText formats a time as people compare it: a beat is too short for three decimals.
func timeText(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.4f s", d.Seconds())
	}
	return fmt.Sprintf("%.3f s", d.Seconds())
}

// beats returns what is to be said of beats: how often the owner advertises, and why this node waits longer for it.
func (w *why) beats() []string {
	v := &w.g.Machine
	var out []string
	switch {
	case v.State == election.Master && v.Beat > 0:
		out = append(out, fmt.Sprintf("it advertises every %s (beat), and vipd peers count on it", timeText(v.Beat)))
	case v.State == election.Backup && v.Heard && v.Master.Beat > 0 && !w.g.Distrusts():
		out = append(out, fmt.Sprintf("%s advertises every %s (beat), and this node takes over %s after the last advert",
			v.Master.Src, timeText(v.Master.Beat), timeText(v.DownTime)))
	case v.State == election.Backup && v.Heard && v.BeatsEnded != 0:
		out = append(out, fmt.Sprintf("%s stated a beat until %s ago and states none since: its interval counts",
			v.Master.Src, w.since(v.BeatsEnded)))
	}
	if w.g.Distrusts() {
		out = append(out, fmt.Sprintf(
			"beats of %s were missing although it was alive, and this node had claimed (%s): it takes over %s after the last "+
				"advert, until %s at least; look for what limits or delays multicast on the way (`vipctl doctor`)",
			v.Distrusted, inSuccession(v.DistrustTimes), timeText(v.DownTime), w.at(v.DistrustUntil).Format(time.RFC3339)))
	}
	return out
}

func (w *why) since(i election.Instant) string {
	return fmt.Sprintf("%.1f s", max(0, w.now.Sub(i)).Seconds())
}

func inSuccession(times int) string {
	if times <= 1 {
		return "once"
	}
	return fmt.Sprintf("%d times in succession", times)
}
