// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"testing"
	"time"
)

// A node that lost its state with a clock that is behind draws above what it hears. What has no trailer raises nothing,
// nor does a number that is further back.
func TestNumbersRiseAboveWhatIsHeard(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24")) // its numbers begin at a second
	start := b.sequence.Last()
	heard := func(what string, number uint64, proven bool, want uint64) {
		t.Helper()
		b.now += int64(time.Second)
		ev := b.advert("eth0@1", 100)
		ev.Counter, ev.Proven = number, proven
		b.ring = append(b.ring, ev)
		b.catchUp()
		if got := b.sequence.Next(); got != want {
			t.Errorf("%s: next is %d, want %d", what, got, want)
		}
	}
	const high = 1_800_000_000_000_000
	heard("without a trailer", high, false, start+1)
	heard("higher", high, true, high+1)
	heard("lower", high-1, true, high+2)
	heard("the same again", high+2, true, high+3)
	heard("a BSD's, far ahead", 1<<63, false, high+4)
	heard("no number", 1<<63, true, high+5)
}
