// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"testing"

	"vipd/loader"
)

// TestReadOneByOne: where the kernel does not read all groups at once, or a group was
// just added, status and metrics say the same.
func TestReadOneByOne(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	for _, g := range b.planes {
		g.stats, g.seen.Count = loader.GroupStats{Received: 7}, 7
	}
	for name, set := range map[string]func(){
		"at once":    func() {},
		"refused":    func() { b.readErr = errors.New("refused") },
		"just added": func() { b.unread = true },
	} {
		b.readErr, b.unread = nil, false
		set()
		g := b.status().Groups[0]
		if !g.Dataplane.Answering || g.Counters.AdvertisementsReceived != 7 {
			t.Errorf(
				"%s: answering %v, %d adverts, want true and 7",
				name,
				g.Dataplane.Answering,
				g.Counters.AdvertisementsReceived,
			)
		}
		m := b.operator.Snapshot().Groups[0]
		if m.LeaseRemaining <= 0 || m.Received != 7 || !m.Heard {
			t.Errorf("%s: metrics lease %v, %d adverts, heard %v", name, m.LeaseRemaining, m.Received, m.Heard)
		}
	}
}
