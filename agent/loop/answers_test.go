// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"slices"
	"testing"
	"time"

	"vipd/loader"
)

// Clients that go on asking, in two readings in a row, of a MASTER in native mode, show that its answers are lost.
func TestUnseenAnswersOfNativeMode(t *testing.T) {
	for _, tc := range []struct {
		name   string
		mode   loader.Mode
		master bool
		asked  []time.Duration // how long before each reading a client asked on; 0: never
		want   bool
	}{
		{"twice in a row", "native", true, []time.Duration{time.Second, time.Second}, true},
		{"once", "native", true, []time.Duration{time.Second, 0}, false},
		{"long ago", "native", true, []time.Duration{time.Second, 6 * time.Second}, false},
		{"with a pause", "native", true, []time.Duration{time.Second, 0, time.Second}, false},
		{"on tc", "tc", true, []time.Duration{time.Second, time.Second}, false},
		{"a BACKUP", "native", false, []time.Duration{time.Second, time.Second}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
			if tc.master {
				b.master()
			}
			b.interfaces["eth0"].att.Mode = tc.mode
			b.publish()
			var w answerWatch
			var got []int
			for i, ago := range tc.asked {
				b.now += int64(answersEvery)
				b.unseenAt = 0
				if ago > 0 {
					b.unseenAt = b.now - int64(ago)
				}
				got = w.unseen(b.clock.Now(), b.View())
				if again := w.unseen(b.clock.Now(), b.View()); len(again) > 0 {
					t.Errorf("reading %d: read again at once: %v", i, again)
				}
			}
			if slices.Contains(got, 10) != tc.want {
				t.Errorf("fall back on %v, want one: %v", got, tc.want)
			}
		})
	}
}

// What was given up is counted, shown and logged once.
func TestFallbackIsShown(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	did := loader.Repaired{Attachment: loader.Attachment{Mode: "tc", Egress: "tcx", FellBack: "answers_unseen"}}
	b.noteRepair(repair{10, did, nil})
	b.noteRepair(repair{10, did, nil})
	if got := b.status().Groups[0].Dataplane; got.Mode != "tc" || got.Fallback != "answers_unseen" {
		t.Errorf("status %+v", got)
	}
	got := b.View().Interface("eth0").Fallbacks
	if got["answers_unseen"] != 1 || got["attach_failed"] != 0 || len(got) != 2 {
		t.Errorf("counted %v", got)
	}
}
