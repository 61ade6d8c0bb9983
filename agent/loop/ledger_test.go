// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"testing"
	"time"
)

func TestLedgerSumsNamedContributions(t *testing.T) {
	var l ledger
	t0 := time.Unix(1000, 0)
	steps := []struct {
		name    string
		do      func() bool
		changed bool
		total   int
	}{
		{"first", func() bool { return l.set("maintenance", 240, "operator", t0) }, true, 240},
		{"again", func() bool { return l.set("maintenance", 240, "operator", t0.Add(time.Hour)) }, false, 240},
		{"second", func() bool { return l.set("link:eth1", 240, "no link", t0) }, true, 480},
		{"other value", func() bool { return l.set("link:eth1", 10, "no link", t0) }, true, 250},
		{"zero", func() bool { return l.set("link:eth2", 0, "configured away", t0) }, false, 250},
		{"take zero back", func() bool { return l.remove("link:eth2") }, false, 250},
		{"take one back", func() bool { return l.remove("maintenance") }, true, 10},
		{"take it back twice", func() bool { return l.remove("maintenance") }, false, 10},
		{"last", func() bool { return l.remove("link:eth1") }, true, 0},
	}
	for _, s := range steps {
		if got := s.do(); got != s.changed {
			t.Errorf("%s: changed = %v, want %v", s.name, got, s.changed)
		}
		if got := l.total(); got != s.total {
			t.Errorf("%s: total = %d, want %d", s.name, got, s.total)
		}
	}
}

func TestLedgerKeepsSinceAndOrder(t *testing.T) {
	var l ledger
	t0 := time.Unix(1000, 0)
	l.set("maintenance", 240, "operator", t0)
	l.set("link:eth1", 240, "no link", t0.Add(time.Minute))
	l.set("maintenance", 240, "operator", t0.Add(time.Hour))
	list := l.list()
	if len(list) != 2 || list[0].Name != "link:eth1" || list[1].Name != "maintenance" {
		t.Fatalf("list = %v, want link:eth1 before maintenance", list)
	}
	if !list[1].Since.Equal(t0) {
		t.Errorf("since = %v, want that of the first entry, %v", list[1].Since, t0)
	}
	list[0].Value = 1
	if l.total() != 480 {
		t.Error("a change of the list reached the ledger")
	}
}
