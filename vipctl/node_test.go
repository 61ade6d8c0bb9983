// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"vipd/agent/control"
	"vipd/agent/control/api"
)

// node is a daemon with a real socket and fixed answers.
type node struct {
	mu     sync.Mutex
	status api.Status
	change api.Change
	reload api.Reload
	plan   api.Plan
	demote api.DemotionChange

	handover api.Handover
	history  api.History
	events   []api.Event
	restart  api.Restart
	kept     error // of a handover
	examined api.Doctor
	why      map[string]api.Why
	peers    api.Peers
	err      error
	asked    []string

	incidents api.Incidents
	records   []api.Record
	lines     []api.CaptureLine
	ends      bool // the stream

	checks   api.Checks
	checkRun api.CheckRun

	forgotten api.PeerForgotten
}

func (n *node) Checks(context.Context) (api.Checks, error) { return n.checks, n.err }

func (n *node) RunCheck(_ context.Context, name string) (api.CheckRun, error) {
	_, err := n.did("check " + name)
	return n.checkRun, err
}

func (n *node) StatusByGroup(context.Context) (api.Status, iter.Seq[*api.Group], error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	st, groups := n.status, n.status.Groups
	return st, func(yield func(*api.Group) bool) {
		for _, g := range groups {
			if !yield(&g) {
				return
			}
		}
	}, n.err
}

func (n *node) Group(_ context.Context, name string) (api.Group, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range n.status.Groups {
		if g.Name == name {
			return g, nil
		}
	}
	return api.Group{}, api.Errorf(api.CodeNoSuchGroup, "no such group")
}

func (n *node) did(what string) (api.Change, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, what)
	return n.change, n.err
}

func (n *node) SetEnabled(_ context.Context, on bool) (api.Change, error) {
	return n.did("enabled " + strconv.FormatBool(on))
}

func (n *node) SetMaintenance(_ context.Context, on bool) (api.Change, error) {
	return n.did("maintenance " + strconv.FormatBool(on))
}

func (n *node) EnterMaintenance(_ context.Context, force bool) (api.Change, error) {
	change, err := n.did("maintenance and wait, force " + strconv.FormatBool(force))
	if n.kept != nil {
		err = n.kept
	}
	return change, err
}

func (n *node) Yield(_ context.Context, name string, force bool) (api.Handover, error) {
	_, err := n.did("yield " + name + ", force " + strconv.FormatBool(force))
	return n.handover, err
}

func (n *node) Doctor(_ context.Context, seconds int) (api.Doctor, error) {
	_, err := n.did("doctor " + strconv.Itoa(seconds))
	return n.examined, err
}

func (n *node) Restart(context.Context) (api.Restart, error) {
	_, err := n.did("restart")
	return n.restart, err
}

func (*node) Leave() {}

func (n *node) Why(_ context.Context, name string) (api.Why, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w, ok := n.why[name]
	if !ok {
		return api.Why{}, api.Errorf(api.CodeNoSuchGroup, "no such group")
	}
	return w, n.err
}

func (n *node) Peers(context.Context) (api.Peers, error) { return n.peers, n.err }

func (n *node) History(_ context.Context, group string, count int) (api.History, error) {
	_, err := n.did("history " + group + " " + strconv.Itoa(count))
	return n.history, err
}

func (n *node) Events(context.Context) (api.Event, <-chan api.Event, func()) {
	events := make(chan api.Event, len(n.events))
	for _, ev := range n.events {
		events <- ev
	}
	close(events)
	return api.Event{Time: testNow(), Event: api.EventBegin, Node: "fw1"}, events, func() {}
}

func (n *node) Incidents(context.Context) (api.Incidents, error) {
	_, err := n.did("incidents")
	return n.incidents, err
}

func (n *node) Incident(_ context.Context, id uint64) (api.Incident, error) {
	_, err := n.did("incident " + strconv.FormatUint(id, 10))
	for _, in := range n.incidents.Incidents {
		if in.ID == id {
			in.Records = n.records
			return in, err
		}
	}
	return api.Incident{}, api.Errorf(api.CodeNotFound, "there is no incident %d", id)
}

func (n *node) Capture(ctx context.Context, group string) (api.CaptureBegin, <-chan api.CaptureLine, func(), error) {
	if _, err := n.Group(ctx, group); err != nil {
		return api.CaptureBegin{}, nil, nil, err
	}
	_, err := n.did("capture " + group)
	lines := make(chan api.CaptureLine, len(n.lines))
	for _, l := range n.lines {
		lines <- l
	}
	if n.ends {
		close(lines)
	}
	return api.CaptureBegin{Node: "fw1", Version: api.Version, Group: group, Interface: "eth0"}, lines, func() {}, err
}

func (n *node) Reload(context.Context, bool) (api.Reload, error) {
	_, err := n.did("reload")
	return n.reload, err
}

func (n *node) Plan(_ context.Context, file *api.ConfigFile) (api.Plan, error) {
	what := "plan of its own file"
	if file != nil {
		what = fmt.Sprintf("plan %s %#o %q", file.Name, file.Mode, file.Text)
	}
	_, err := n.did(what)
	return n.plan, err
}

func (n *node) Demotions(context.Context) (api.Demotions, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return api.Demotions{Demotion: n.status.Demotion, Demotions: n.status.Demotions}, n.err
}

func (n *node) AddDemotion(_ context.Context, d api.NewDemotion) (api.DemotionChange, error) {
	_, err := n.did(fmt.Sprintf("add %s %d %v %q", d.Name, d.Value, d.Duration(), d.Reason))
	return n.demote, err
}

func (n *node) RemoveDemotion(_ context.Context, name string) (api.DemotionChange, error) {
	_, err := n.did("remove " + name)
	return n.demote, err
}

func (n *node) ResetDemotions(context.Context) (api.DemotionChange, error) {
	_, err := n.did("reset")
	return n.demote, err
}

func (n *node) ForgetPeer(_ context.Context, f api.ForgetPeer) (api.PeerForgotten, error) {
	_, err := n.did(fmt.Sprintf("forget %s %q", f.Address, f.Group))
	return n.forgotten, err
}

func (n *node) serve(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	n.serveAt(t, socket)
	return socket
}

// serveAt serves until stop is called or the test ends.
func (n *node) serveAt(t *testing.T, socket string) (stop func()) {
	t.Helper()
	s := control.New(n, control.Options{Socket: socket})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}
