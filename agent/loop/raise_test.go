// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/wire"
)

// sealedAs makes an event of what another vipd node says with that number, under that
// context of the group.
func (b *bench) sealedAs(name string, seq uint32, context uint8) {
	ev := b.advert(name, 100)
	ev.Context = context
	ev.Counter = b.group(name).signing.seals[context].Counter(
		seq,
		wire.Sealed{Src: ev.Src, AdvBase: ev.AdvBase, AdvSkew: ev.AdvSkew},
	)
	b.ring = append(b.ring, ev)
}

// A node that lost its state with a clock that is behind draws above what it hears; what is
// not sealed, or not for what it says, raises nothing, nor does what is further back.
func TestSequenceRisesAboveWhatIsHeard(t *testing.T) {
	cfg := testGroup("eth0", 1, "192.0.2.100/24")
	cfg.Accept = []config.Accept{{Password: config.NewSecret([]byte("next"))}}
	b := newBench(t, cfg) // its sequence begins at 1
	heard := func(what string, seq uint32, context uint8, spoil bool, want uint32) {
		t.Helper()
		b.now += int64(time.Second)
		b.sealedAs("eth0@1", seq, context)
		if spoil {
			b.ring[0].AdvSkew++ // the seal is of another priority
		}
		b.catchUp()
		if got := nextNumber(b); got != want {
			t.Errorf("%s: next is %d, want %d", what, got, want)
		}
	}
	heard("forged", 1_800_000_000, 0, true, 2)
	heard("higher", 1_800_000_000, 0, false, 1_800_000_001)
	heard("lower", 1_700_000_000, 0, false, 1_800_000_002)
	heard("the same again", 1_800_000_002, 0, false, 1_800_000_003)
	heard("with the next password", 1_900_000_000, uint8(len(b.group("eth0@1").signing.seals)-1), false, 1_900_000_001)
	b.now += int64(time.Second)
	b.ring = append(b.ring, b.advert("eth0@1", 100)) // a BSD's counter
	b.catchUp()
	if got := nextNumber(b); got != 1_900_000_002 {
		t.Errorf("after an ordinary advert: %d", got)
	}
}

func nextNumber(b *bench) uint32 { return b.sequence.Next() }
