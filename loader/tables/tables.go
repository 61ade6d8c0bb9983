// SPDX-License-Identifier: Apache-2.0

// Package tables gives typed access to the maps that the programs work on: groups with their roles, addresses and keys,
// the places where the programs find them, what the kernel saw last, counters, the ring of events and the tap.
package tables

import (
	"errors"
	"log/slog"
	"sync"

	"github.com/cilium/ebpf"

	"vipd/loader/object"
)

// Reasons why a table cannot do what it is asked for.
var (
	// ErrFull means that a table of the data plane has no room left.
	ErrFull = errors.New("table full")
	// ErrExists means that another group has the VHID or an address already.
	ErrExists = errors.New("already in use")
	// ErrRemoved means that the group was removed.
	ErrRemoved = errors.New("group removed")
)

// Options for the tables.
type Options struct {
	Log *slog.Logger
}

// Tables are the maps of the data plane.
type Tables struct {
	opts     Options
	maps     *object.BPFMaps
	roles    *roleTable
	heard    *heardTable
	place    *placeTable
	vipPlace *vipPlaceTable
	ring     *ring
	tap      *tap

	// mu guards what follows, and the maps against being closed. What reads for clients, on threads that are not run at
	// once, keeps no reader of the election waiting.
	mu       sync.RWMutex
	closed   bool
	groups   map[object.BPFGroupKey]*Group
	slots    slots // of groups
	vipSlots slots
	worn     bool                                // senders of slots without a group may be left; see forgetRemoved
	pinned   map[object.BPFGroupKey]*pinnedGroup // adopted but not claimed
}

// Open returns tables on maps that the caller keeps, and closes after [Tables.Close]. tapEpoch is the variable of the
// loaded programs; nil if none are loaded yet, see [Tables.UseTap].
func Open(maps *object.BPFMaps, tapEpoch *ebpf.Variable, o Options) (_ *Tables, err error) {
	t := &Tables{
		opts:     o,
		maps:     maps,
		groups:   make(map[object.BPFGroupKey]*Group),
		slots:    slots{bound: maps.Groups.MaxEntries()},
		vipSlots: slots{bound: maps.Vips.MaxEntries()},
		worn:     true, // an earlier process may have left some
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	if t.roles, err = mapRoles(maps.Roles); err != nil {
		return nil, err
	}
	if t.heard, err = mapHeard(maps.Heard); err != nil {
		return nil, err
	}
	if t.place, err = mapPlaces(maps.Places); err != nil {
		return nil, err
	}
	if t.vipPlace, err = mapVIPPlaces(maps.VipPlaces); err != nil {
		return nil, err
	}
	if t.ring, err = openRing(maps.Events); err != nil {
		return nil, err
	}
	if t.tap, err = openTap(maps, tapEpoch); err != nil {
		return nil, err
	}
	return t, nil
}

// Room returns how many groups and addresses the tables can hold, those that they hold included.
func (t *Tables) Room() (groups, vips int) { return int(t.slots.bound), int(t.vipSlots.bound) }

// UseTap sets the variable of programs that were loaded since.
func (t *Tables) UseTap(epoch *ebpf.Variable) { t.tap.use(epoch) }

// Silence revokes the right to speak of every group.
func (t *Tables) Silence() { t.roles.silence() }

// Close ends the work on the maps, which stay as they are.
func (t *Tables) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	var errs []error
	if t.ring != nil {
		errs = append(errs, t.ring.close())
	}
	if t.tap != nil {
		errs = append(errs, t.tap.close())
	}
	return errors.Join(errs...)
}
