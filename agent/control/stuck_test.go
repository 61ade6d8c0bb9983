// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/events"
)

// following is a backend with a real stream of events.
type following struct {
	*fake
	stream  events.Stream
	follows atomic.Int32
}

func (f *following) Events(context.Context) (first api.Event, events <-chan api.Event, forget func()) {
	events, drop := f.stream.Follow()
	f.follows.Add(1)
	return api.Event{Event: api.EventBegin}, events, func() {
		drop()
		f.follows.Add(-1)
	}
}

// TestStuckFollower: a client of the events that stops reading holds up neither vipd nor other clients, and is dropped
// and counted.
func TestStuckFollower(t *testing.T) {
	t.Parallel()
	f := &following{fake: &fake{}}
	path := filepath.Join(t.TempDir(), "s")
	dropped := make(chan struct{}, 8)
	s := New(f, Options{Socket: path, Dropped: func() { dropped <- struct{}{} }})
	s.patience = 3 * time.Second // longer than telling takes
	run(t, s)

	stuck, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	if _, err := io.WriteString(stuck, "GET /v1/events HTTP/1.1\r\nHost: vipd\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	const told = 4000 // far more than the socket takes, and less than the backlog
	read := make(chan int, 1)
	all, enough := context.WithCancel(t.Context())
	defer enough()
	go func() {
		n := 0
		err := (&api.Client{Socket: path}).Events(all, func(line []byte) error {
			var ev api.Event
			if err := json.Unmarshal(line, &ev); err != nil {
				return err
			}
			if ev.Event == api.EventTransition {
				n++
			}
			if n == told {
				enough()
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		read <- n
	}()
	waitFor(t, "two clients follow", func() bool { return f.follows.Load() == 2 })

	text := strings.Repeat("x", 1024)
	for range told {
		f.stream.Tell(api.Event{Event: api.EventTransition, Transition: &api.Transition{Group: "eth0@1", Reason: text}})
	}
	if len(dropped) > 0 {
		t.Error("the client was dropped while the events were told: they may have waited for it")
	}
	if st, err := (&api.Client{Socket: path}).Status(t.Context()); err != nil || st.Node != "fw1" {
		t.Errorf("status meanwhile: %+v, %v", st, err)
	}
	if n := <-read; n != told {
		t.Errorf("the other client got %d events, want %d", n, told)
	}
	select {
	case <-dropped:
	case <-time.After(time.Minute):
		t.Fatal("the client that does not read was not dropped")
	}
	waitFor(t, "nothing is kept for either", func() bool { return f.follows.Load() == 0 })
	if len(dropped) > 0 {
		t.Error("the client that reads was counted as dropped")
	}
}
