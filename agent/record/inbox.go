// SPDX-License-Identifier: Apache-2.0

package record

import (
	"sync"

	"vipd/agent/control/api"
)

type noteKind int

const (
	noteBind noteKind = iota
	noteHeard
	noteTransition
	noteForget
)

// note is what the election loop has to say.
type note struct {
	what  noteKind
	group string

	slot          uint32
	ifname, state string
	plane         Plane

	at, lag, causeAt int64
	transition       *api.Transition
}

// inbox takes notes without ever waiting for the recorder.
type inbox struct {
	mu      sync.Mutex
	notes   []note
	dropped int
}

func (b *inbox) put(n note) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.notes) >= maxNotes && n.what == noteHeard { // the others are few
		b.dropped++
		return
	}
	b.notes = append(b.notes, n)
}

func (b *inbox) take() (notes []note, dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	notes, dropped = b.notes, b.dropped
	b.notes, b.dropped = nil, 0
	return notes, dropped
}

// Bind says that a group's samples carry this slot from now on, and that it is in
// this state.
func (r *Recorder) Bind(group, ifname, state string, slot uint32, p Plane) {
	r.inbox.put(note{what: noteBind, group: group, ifname: ifname, state: state, slot: slot, plane: p})
}

// Forget drops a group that is gone from the config; its incidents stay.
func (r *Recorder) Forget(group string) { r.inbox.put(note{what: noteForget, group: group}) }

// Heard says when the agent had the advert received at a time: lag ns later.
func (r *Recorder) Heard(group string, at, lag int64) {
	r.inbox.put(note{what: noteHeard, group: group, at: at, lag: lag})
}

// Transition freezes what is known of the group. at is the transition's time and
// causeAt when the advert that caused it was received, 0 if none did, in CLOCK_BOOTTIME
// ns. It never blocks.
func (r *Recorder) Transition(at, causeAt int64, t api.Transition) {
	r.inbox.put(note{what: noteTransition, group: t.Group, at: at, causeAt: causeAt, transition: &t})
	select {
	case r.poke <- struct{}{}:
	default:
	}
}
