// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"vipd/agent/doctor"
	"vipd/agent/election"
	"vipd/loader"
)

// TestFaultsOfTheLastMinute: what rose since the last reading is a fault, what stands still is not, whatever its count.
func TestFaultsOfTheLastMinute(t *testing.T) {
	t.Parallel()
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"), testGroup("eth0", 2, "192.0.2.102/24"))
	refused := func(n uint64) loader.GroupStats {
		var st loader.GroupStats
		st.Rejected[slices.Index(loader.RejectReasons(), "bad_hmac")] = n
		return st
	}
	first := b.planes["10@1"]
	if first == nil {
		t.Fatalf("the planes are named otherwise: %v", b.planes)
	}
	first.stats = refused(1000)
	b.publish()
	b.operator.NoteCounters()
	faults := func(i int) []string { return b.status().Groups[i].Faults }
	if got := faults(0); got != nil {
		t.Errorf("nothing rose, and the faults are %q", got)
	}
	first.stats = refused(1001) // one that was under way
	if got := faults(0); got != nil {
		t.Errorf("a single one: %q", got)
	}
	first.stats = refused(1002)
	if got, want := faults(0), []string{doctor.CodeSignatureRefused}; !slices.Equal(got, want) {
		t.Errorf("two: %q, want %q", got, want)
	}
	if got := faults(1); got != nil {
		t.Errorf("the other group: %q", got)
	}
	g, err := b.operator.Group(t.Context(), "eth0@1")
	if err != nil || !slices.Equal(g.Faults, []string{doctor.CodeSignatureRefused}) {
		t.Errorf("one group: %q, %v", g.Faults, err)
	}
	b.operator.NoteCounters()
	if got := faults(0); got != nil {
		t.Errorf("a minute after it stood still: %q", got)
	}
	first.stats = refused(3) // the interface was made anew, with new counters
	if got, want := faults(0), []string{doctor.CodeSignatureRefused}; !slices.Equal(got, want) {
		t.Errorf("new counters: %q, want %q", got, want)
	}
}

// TestSlotTaken: a group whose interface's XDP slot is taken has that fault, whatever the words of the error are.
func TestSlotTaken(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("eth0: %w: by somebody", loader.ErrSlotTaken), doctor.CodeXDPTaken},
		{errors.New("xdp slot taken, or so it seems"), doctor.CodeGroupDown},
	} {
		b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
		b.group("eth0@1").iface.giveUp(attachFailed(tt.err))
		if got := b.status().Groups[0]; got.Reason != "attach_failed" || !slices.Equal(got.Faults, []string{tt.want}) {
			t.Errorf("%v: %s, faults %q, want %s", tt.err, got.Reason, got.Faults, tt.want)
		}
	}
}

func TestLag(t *testing.T) {
	t.Parallel()
	at := func(s float64) election.Instant { return election.Instant(s * float64(time.Second)) }
	var l lags
	l.note(at(1), at(1.5)) // early
	l.note(at(1), at(0.95))
	if n, _ := l.lately(at(2)); n != 0 {
		t.Errorf("%d without any", n)
	}
	l.note(at(10), at(9.5))
	l.note(at(20), at(17))
	l.note(at(30), at(29))
	if n, worst := l.lately(at(40)); n != 3 || worst.by != 3*time.Second || worst.at != at(20) {
		t.Errorf("%d, %+v", n, worst)
	}
	if n, worst := l.lately(at(25).Add(lagMemory)); n != 1 || worst.by != time.Second {
		t.Errorf("ten minutes later: %d, %+v", n, worst)
	}
	for i := range 3 * lagsKept {
		l.note(at(float64(100+i)), at(float64(99+i)))
	}
	if n, _ := l.lately(at(100 + 3*lagsKept)); n != lagsKept || cap(l.events) > 2*lagsKept {
		t.Errorf("%d are kept in room for %d", n, cap(l.events))
	}
}
