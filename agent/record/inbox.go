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

// note is a message of the election loop.
type note struct {
	what  noteKind
	group string

	slot          uint32
	ifname, state string
	plane         Plane

	at, lag, causeAt int64
	transition       *api.Transition
}

// inbox accepts notes without waiting for the recorder.
type inbox struct {
	mu      sync.Mutex
	notes   []note
	dropped int
}

func (b *inbox) put(n note) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.notes) >= maxNotes && n.what == noteHeard { // there are few others
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

// Bind sets the slot of a group's samples from now on, and its present state.
func (r *Recorder) Bind(group, ifname, state string, slot uint32, p Plane) {
	r.inbox.put(note{what: noteBind, group: group, ifname: ifname, state: state, slot: slot, plane: p})
}

// Forget removes a group that is no longer in the config; its incidents stay.
func (r *Recorder) Forget(group string) { r.inbox.put(note{what: noteForget, group: group}) }

// Heard notes that the agent had the advert that was received at a time lag ns later.
func (r *Recorder) Heard(group string, at, lag int64) {
	r.inbox.put(note{what: noteHeard, group: group, at: at, lag: lag})
}

// Transition begins an incident. at is the time of the transition, causeAt the time at which the advert
// that caused it was received or 0, both in CLOCK_BOOTTIME ns. It never blocks.
func (r *Recorder) Transition(at, causeAt int64, t api.Transition) {
	r.inbox.put(note{what: noteTransition, group: t.Group, at: at, causeAt: causeAt, transition: &t})
	select {
	case r.poke <- struct{}{}:
	default:
	}
}
