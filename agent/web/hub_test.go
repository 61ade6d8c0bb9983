// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"vipd/agent/control/api"
)

// With many groups the node is read when somebody looks, and not for nobody.
func TestManyGroupsAreReadForViewersAlone(t *testing.T) {
	t.Parallel()
	few, many := newNode(keptGroups), newNode(keptGroups+1)
	pages := map[*node]*site{few: serve(t, few, nil), many: serve(t, many, nil)}
	hubOf := func(n *node) *hub { return pages[n].server.hub }
	eventually := func(what string, ok func() bool) {
		t.Helper()
		for began := time.Now(); !ok(); time.Sleep(time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("never came: ", what)
			}
		}
	}
	eventually("a reading of few groups", func() bool { return hubOf(few).snap.Load() != nil })
	eventually("the size of the other node", func() bool { return hubOf(many).groups.Load() > 0 && hubOf(many).idle() })
	if hubOf(few).idle() {
		t.Error("a node of few groups is not read")
	}
	eventually("the first reading is forgotten", func() bool { return hubOf(many).snap.Load() == nil })

	before := hubOf(few).snap.Load()
	few.events <- api.Event{}
	many.events <- api.Event{}
	eventually("a reading for an event", func() bool { return hubOf(few).snap.Load() != before })
	if hubOf(many).snap.Load() != nil {
		t.Error("an event led to a reading for nobody")
	}
	if pages[many].browser().get("/healthz").status != 200 || hubOf(many).kept() > 0 {
		t.Error("a health check fails, or begins the charts")
	}

	pages[many].browser().get("/")
	eventually("charts after a visit", func() bool { return hubOf(many).kept() == keptGroups+1 })
	st := openStream(t, pages[many], "view=status")
	st.next()
	long := moment().Add(-keptFor)
	hubOf(many).looked.Store(&long)
	if hubOf(many).idle() {
		t.Error("nobody looks, while a page is open")
	}
	hubOf(many).looked.Store(nil)
	hubOf(many).forget()
	if st.until("a reading for the open page", func(m message) bool { return m.At > 0 }); hubOf(many).kept() == 0 {
		t.Error("no charts for an open page")
	}
}

// A reading for a request is as good as one that is due, unless something has happened since.
func TestRequestsPutReadingsOff(t *testing.T) {
	t.Parallel()
	h := newHub(newNode(1), func() error { return nil }, nil, slog.New(slog.DiscardHandler))
	events := make(chan api.Event, 1)
	due := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*gatherTime)
		defer cancel()
		h.rest(ctx, moment().Add(-sampleEvery), false, events)
		return ctx.Err() == nil
	}
	if !due() {
		t.Error("no reading although there was none")
	}
	if _, err := h.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if due() {
		t.Error("a reading right after that for a request")
	}
	events <- api.Event{}
	if !due() {
		t.Error("no reading after an event")
	}
}

// kept returns of how many groups charts are kept.
func (h *hub) kept() int {
	h.reading.Lock()
	defer h.reading.Unlock()
	return len(h.memory.groups)
}
