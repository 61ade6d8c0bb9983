// SPDX-License-Identifier: Apache-2.0

package netio

import "fmt"

// Links has the interfaces of the host at one moment.
type Links struct {
	byName  map[string]Link // also by alternative names
	byIndex map[int]Link
}

// NewLinks indexes the result of [Host.AllLinks].
func NewLinks(all []Link) *Links {
	t := &Links{byName: make(map[string]Link, len(all)), byIndex: make(map[int]Link, len(all))}
	for _, l := range all {
		t.byIndex[l.Index] = l
		for _, name := range l.AltNames {
			t.byName[name] = l
		}
	}
	for _, l := range all {
		t.byName[l.Name] = l
	}
	return t
}

// Named returns the interface with that name or alternative name, or ErrNoLink.
func (t *Links) Named(name string) (Link, error) {
	if l, found := t.byName[name]; found {
		return l, nil
	}
	return Link{}, fmt.Errorf("interface %s: %w", name, ErrNoLink)
}

// At returns the interface with that index, or ErrNoLink.
func (t *Links) At(ifindex int) (Link, error) {
	if l, found := t.byIndex[ifindex]; found {
		return l, nil
	}
	return Link{}, fmt.Errorf("interface %d: %w", ifindex, ErrNoLink)
}
