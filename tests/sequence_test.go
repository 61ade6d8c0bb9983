// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// farAhead is a sequence that the time of day is far behind, as a clock without a battery is behind ordinary ones.
const farAhead = "3000000000\n"

// loseSequence removes the files in which a node keeps its sequence.
func loseSequence(t *testing.T, n *lab.Node) {
	t.Helper()
	for _, dir := range []string{n.StateDir(), n.RuntimeDir()} {
		if err := os.Remove(filepath.Join(dir, "sequence")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// A node that lost its sequence while its clock is behind is accepted again within a master-down time, and no operator
// has to restart the other node: whether the other one owned the addresses meanwhile or has never spoken.
func TestLostSequenceHealsWithinAMasterDownTime(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(p *pair) (started time.Time){
		"the peer owned meanwhile": func(p *pair) time.Time {
			killed := p.a.Kill9()
			p.b.WaitAnswering(group, time.Until(killed.Add(patience)))
			p.a.Cleanup()
			loseSequence(t, p.a)
			return p.a.Start()
		},
		"the peer has never spoken": func(p *pair) time.Time {
			p.a.Kill9()
			loseSequence(t, p.a)
			return p.a.Start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, oneVIP(0), oneVIP(100))
			if err := os.MkdirAll(p.a.StateDir(), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(p.a.StateDir(), "sequence"), []byte(farAhead), 0o600); err != nil {
				t.Fatal(err)
			}
			p.start()
			time.Sleep(2 * time.Second) // b hears two of them
			started := lose(p)
			// The better one claims, and the other one accepts it.
			p.a.WaitAnswering(group, patience)
			claimed := time.Now()
			p.b.WaitFor(
				group,
				"is BACKUP and has accepted an advert of a's new process",
				skewed(100)+2*time.Second,
				func(g lab.GroupStatus) bool {
					return g.State == lab.Backup && g.Master != nil && g.Master.Address == addrA.String() &&
						g.Master.LastSeen.After(started)
				},
			)
			t.Logf("accepted %v after it claimed", time.Since(claimed))
			refused := p.b.Group(group).Counters.Rejected["replay"]
			moves := transitions(p.a) + transitions(p.b)
			time.Sleep(masterDown + 2*time.Second)
			a, b := p.a.Group(group), p.b.Group(group)
			if a.State != lab.Master || b.State != lab.Backup || transitions(p.a)+transitions(p.b) != moves {
				t.Errorf("a is %s (%s), b is %s (%s)", a.State, a.Reason, b.State, b.Reason)
			}
			if got := b.Counters.Rejected["replay"]; got != refused {
				t.Errorf("b refused %d more adverts as replays", got-refused)
			}
		})
	}
}

// With one directory for state_dir and runtime_dir, which config check warns of, the numbers still rise over a restart:
// the two files do not overwrite each other.
func TestSequenceWithOneDirectoryForBoth(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.node.WriteRawConfig(strings.Replace(s.node.ReadConfig(), strconv.Quote(s.node.StateDir()),
		strconv.Quote(s.node.RuntimeDir()), 1))
	for range 2 {
		s.startMaster()
		s.node.Stop()
		if out := s.node.Proc().Output(); strings.Contains(out, "reservation of sequence numbers") {
			t.Errorf("the log complains about sequence numbers:\n%s", out)
		}
	}
}
