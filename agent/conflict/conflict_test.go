// SPDX-License-Identifier: Apache-2.0

package conflict

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

var (
	vip      = netip.MustParseAddr("192.0.2.100")
	vip6     = netip.MustParseAddr("2001:db8::100")
	intruder = MAC{2, 0, 0, 0, 0, 0x66}
	other    = MAC{2, 0, 0, 0, 0, 0x67}
	master   = Standing{State: Master}
	backup   = Standing{State: Backup}
)

const start = 1000 * time.Second

// run judges whenever it is due and returns when each address was announced.
func run(t *testing.T, w *Watch, s Standing, until time.Duration) (announced []string, reports []Report) {
	t.Helper()
	for range 10_000 {
		at, ok := w.Next()
		if !ok || at > until {
			return announced, reports
		}
		out := w.Judge(at, s)
		for _, a := range out.Announce {
			announced = append(announced, fmt.Sprintf("%s %s", a, at-start))
		}
		reports = append(reports, out.Reports...)
	}
	t.Fatal("it is always due")
	return nil, nil
}

func claim(at time.Duration, a netip.Addr, mac MAC) Claim {
	return Claim{At: start + at, Addr: a, MAC: mac, Source: mac, Count: 1}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestOneClaimIsAnsweredAtOnceAndASecondLater(t *testing.T) {
	for _, a := range []netip.Addr{vip, vip6} {
		var w Watch
		w.Note(claim(0, a, intruder))
		got, reports := run(t, &w, master, start+time.Hour)
		same(t, "announced", got, []string{a.String() + " 20ms", a.String() + " 1.02s"})
		if len(reports) != 1 || reports[0].MAC != intruder || !slices.Equal(reports[0].Addresses, []netip.Addr{a}) {
			t.Errorf("reports %+v", reports)
		}
		v := w.View()
		if len(v.Conflicts) != 1 || v.Conflicts[0].Count != 1 || v.Conflicts[0].Last != start || v.Counts[a] != 1 {
			t.Errorf("view %+v", v)
		}
	}
}

// While claims continue, the address is announced once per second, and no claim remains unanswered for
// longer.
func TestAddressIsDefendedOncePerSecond(t *testing.T) {
	var w Watch
	var announced []string
	for at := time.Duration(0); at <= 10*time.Second; at += 100 * time.Millisecond {
		w.Note(claim(at, vip, intruder))
		got, _ := run(t, &w, master, start+at+99*time.Millisecond)
		announced = append(announced, got...)
	}
	got, _ := run(t, &w, master, start+time.Hour)
	announced = append(announced, got...)
	if n := len(announced); n < 12 || n > 13 {
		t.Errorf("%d announcements in ten seconds and after: %v", n, announced)
	}
	if v := w.View(); v.Counts[vip] != 101 || len(v.Conflicts) != 1 {
		t.Errorf("view %+v", v)
	}
}

func TestClaimJustAfterAnAnnouncement(t *testing.T) {
	var w Watch
	w.Note(claim(0, vip, intruder))
	run(t, &w, master, start+30*time.Millisecond)
	w.Note(claim(40*time.Millisecond, vip, intruder))
	got, _ := run(t, &w, master, start+time.Hour)
	same(t, "announced", got, []string{"192.0.2.100 1.02s", "192.0.2.100 2.02s"})
}

func TestBackupReportsButAnnouncesNothing(t *testing.T) {
	var w Watch
	w.Note(claim(0, vip, intruder))
	got, reports := run(t, &w, backup, start+time.Hour)
	if len(got) != 0 || len(reports) != 1 || w.View().Counts[vip] != 1 {
		t.Errorf("announced %v, reports %+v, view %+v", got, reports, w.View())
	}
	// A node that became BACKUP stops announcing.
	w.Note(claim(time.Minute, vip, intruder))
	run(t, &w, master, start+time.Minute+judgeAfter)
	if got, _ := run(t, &w, backup, start+time.Hour); len(got) != 0 {
		t.Errorf("announced %v as BACKUP", got)
	}
	w.Note(claim(2*time.Hour, vip, intruder))
	if got, reports := run(t, &w, Standing{}, start+3*time.Hour); len(got) != 0 || len(reports) != 0 {
		t.Errorf("in INIT: announced %v, reports %+v", got, reports)
	}
}

func TestLegitimateMACsAreNoConflict(t *testing.T) {
	ucarp := netip.MustParseAddr("192.0.2.3")
	for name, tc := range map[string]struct {
		s                 Standing
		conflicts, defend int
	}{
		"a lladdr that was configured": {Standing{State: Master, Legitimate: []MAC{intruder}}, 0, 0},
		"ucarp became master":          {Standing{State: Backup, Ucarp: ucarp, UcarpAt: start}, 0, 0},
		"ucarp was master just now":    {Standing{State: Master, Ucarp: ucarp, UcarpAt: start - time.Second}, 0, 1},
		"ucarp was master long ago":    {Standing{State: Master, Ucarp: ucarp, UcarpAt: start - time.Minute}, 1, 1},
	} {
		var w Watch
		w.Note(claim(0, vip, intruder))
		got, _ := run(t, &w, tc.s, start+100*time.Millisecond)
		if n := len(w.View().Conflicts); n != tc.conflicts || len(got) != tc.defend {
			t.Errorf("%s: %d conflicts, announced %v", name, n, got)
		}
		w.Note(claim(time.Second, vip, other))
		run(t, &w, tc.s, start+2*time.Second)
		if tc.s.State == Backup && len(w.View().Conflicts) != 1 {
			t.Errorf("%s: another host beside it has %d conflicts", name, len(w.View().Conflicts))
		}
	}
}

// When all addresses are claimed at once, they are announced in batches within a short time.
func TestManyAddressesAreAnnouncedInBatches(t *testing.T) {
	var w Watch
	for i := range 4096 {
		w.Note(claim(0, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), intruder))
	}
	var first []netip.Addr
	for len(first) < 4096 {
		at, ok := w.Next()
		if !ok || at > start+judgeAfter {
			t.Fatalf("%d announced, next at %v", len(first), at)
		}
		out := w.Judge(start+judgeAfter, master)
		if len(out.Announce) == 0 || len(out.Announce) > batch {
			t.Fatalf("%d at once", len(out.Announce))
		}
		first = append(first, out.Announce...)
	}
	slices.SortFunc(first, netip.Addr.Compare)
	if n := len(slices.Compact(first)); n != 4096 {
		t.Errorf("%d addresses", n)
	}
	if v := w.View(); len(v.Counts) != 4096 || len(v.Conflicts) != maxConflicts {
		t.Errorf("%d counts, %d conflicts", len(v.Counts), len(v.Conflicts))
	}
}

func TestReportsOfAFloodAreBounded(t *testing.T) {
	var w Watch
	n := 0
	for i := range 6000 {
		at := time.Duration(i) * 10 * time.Millisecond
		w.Note(claim(at, vip, MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}))
		_, reports := run(t, &w, backup, start+at)
		n += len(reports)
	}
	if n < reportBurst || n > reportBurst+2 {
		t.Errorf("%d reports in a minute", n)
	}
	w.Note(claim(61*time.Second, vip, intruder))
	run(t, &w, backup, start+62*time.Second)
	if v := w.View(); len(v.Conflicts) != maxConflicts || v.Counts[vip] < 6000 || v.Conflicts[0].MAC != intruder {
		t.Errorf("%d conflicts, %d counted, the newest %v", len(v.Conflicts), v.Counts[vip], v.Conflicts[0])
	}
}

func TestConflictAfterQuietIsNew(t *testing.T) {
	var w Watch
	total := 0
	for _, at := range []time.Duration{0, time.Minute, time.Minute + Quiet} {
		w.Note(claim(at, vip, intruder))
		_, reports := run(t, &w, backup, start+at+time.Second)
		total += len(reports)
	}
	if total != 2 || w.View().Counts[vip] != 3 {
		t.Errorf("%d reports, %+v", total, w.View())
	}
	w.Keep(func(a netip.Addr) bool { return a != vip })
	if v := w.View(); len(v.Conflicts) != 0 || len(v.Counts) != 0 {
		t.Errorf("of an address that is gone: %+v", v)
	}
}
