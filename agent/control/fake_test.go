// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"vipd/agent/control/api"
)

// fake is a backend that counts what it was asked to change.
type fake struct {
	leave   func()
	mu      sync.Mutex
	changes []string
	block   chan struct{} // if set, verbs wait for it
	entered chan struct{} // if set, told when a verb has begun
	err     error
	seen    func(ctx context.Context) // if set, told a verb's context

	events chan api.Event
	lines  chan api.CaptureLine
	forgot chan struct{}
}

func (f *fake) change(ctx context.Context, what string) (api.Change, error) {
	if f.seen != nil {
		f.seen(ctx)
	}
	if f.entered != nil {
		f.entered <- struct{}{}
	}
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
			return api.Change{}, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, what)
	return api.Change{Changed: true}, f.err
}

func (f *fake) StatusByGroup(context.Context) (api.Status, iter.Seq[*api.Group], error) {
	return api.Status{
		Version:     "0.1.0",
		Node:        "fw1",
		Enabled:     true,
		Maintenance: true,
	}, byGroup(api.Group{Name: "eth0@1"}), f.err
}

// byGroup passes on copies: the server fills in what is nil.
func byGroup(groups ...api.Group) iter.Seq[*api.Group] {
	return func(yield func(*api.Group) bool) {
		for _, g := range groups {
			if !yield(&g) {
				return
			}
		}
	}
}

func (f *fake) Group(_ context.Context, name string) (api.Group, error) {
	if name != "eth0.1@1" {
		return api.Group{}, fmt.Errorf("look up: %w", api.Errorf(api.CodeNoSuchGroup, "no group %q", name))
	}
	return api.Group{Name: name}, nil
}

func (f *fake) SetEnabled(ctx context.Context, on bool) (api.Change, error) {
	return f.change(ctx, fmt.Sprint("enabled ", on))
}

func (f *fake) Plan(_ context.Context, file *api.ConfigFile) (api.Plan, error) {
	if file == nil {
		return api.Plan{Source: "its own"}, f.err
	}
	return api.Plan{Source: fmt.Sprintf("%s %#o %s", file.Name, file.Mode, file.Text)}, f.err
}

func (f *fake) SetMaintenance(ctx context.Context, on bool) (api.Change, error) {
	return f.change(ctx, fmt.Sprint("maintenance ", on))
}

func (f *fake) EnterMaintenance(ctx context.Context, force bool) (api.Change, error) {
	return f.change(ctx, fmt.Sprint("maintenance and wait, force ", force))
}

func (f *fake) Yield(ctx context.Context, name string, force bool) (api.Handover, error) {
	_, err := f.change(ctx, fmt.Sprintf("yield %s, force %v", name, force))
	return api.Handover{Group: name, Outcome: api.OutcomeHandedOver}, err
}

func (f *fake) Restart(ctx context.Context) (api.Restart, error) {
	_, err := f.change(ctx, "restart")
	return api.Restart{PID: 7}, err
}

func (f *fake) Leave() {
	if f.leave != nil {
		f.leave()
	}
}

func (f *fake) Why(_ context.Context, name string) (api.Why, error) {
	return api.Why{Group: name}, f.err
}

func (f *fake) Peers(context.Context) (api.Peers, error) {
	return api.Peers{Node: "fw1", Peers: []api.Peer{}}, f.err
}

func (f *fake) History(_ context.Context, group string, n int) (api.History, error) {
	if f.err != nil {
		return api.History{}, f.err
	}
	return api.History{Transitions: []api.Transition{{Group: group, LagSeconds: float64(n)}}}, nil
}

// left notes the end of a stream.
func (f *fake) left() {
	if f.forgot != nil {
		close(f.forgot)
	}
}

func (f *fake) Events(context.Context) (api.Event, <-chan api.Event, func()) {
	return api.Event{Event: api.EventBegin}, f.events, f.left
}

func (f *fake) Incidents(context.Context) (api.Incidents, error) {
	return api.Incidents{Incidents: []api.Incident{{ID: 3}}}, f.err
}

func (f *fake) Incident(_ context.Context, id uint64) (api.Incident, error) {
	if id != 3 {
		return api.Incident{}, api.Errorf(api.CodeNotFound, "no incident %d", id)
	}
	return api.Incident{ID: id, Records: []api.Record{{Kind: "authentic", Frame: []byte{1, 2}}}}, f.err
}

func (f *fake) Capture(_ context.Context, group string) (api.CaptureBegin, <-chan api.CaptureLine, func(), error) {
	return api.CaptureBegin{Group: group}, f.lines, f.left, f.err
}

func (f *fake) Reload(ctx context.Context, _ bool) (api.Reload, error) {
	_, err := f.change(ctx, "reload")
	return api.Reload{Added: []string{"eth1@2"}}, err
}

func (f *fake) Demotions(context.Context) (api.Demotions, error) {
	return api.Demotions{Demotion: 7}, f.err
}

func (f *fake) demotion(ctx context.Context, what string) (api.DemotionChange, error) {
	ch, err := f.change(ctx, what)
	return api.DemotionChange{Changed: ch.Changed, Demotion: 7}, err
}

func (f *fake) AddDemotion(ctx context.Context, d api.NewDemotion) (api.DemotionChange, error) {
	return f.demotion(ctx, fmt.Sprintf("add %s %d %v %q", d.Name, d.Value, d.Duration(), d.Reason))
}

func (f *fake) RemoveDemotion(ctx context.Context, name string) (api.DemotionChange, error) {
	return f.demotion(ctx, "remove "+name)
}

func (f *fake) ResetDemotions(ctx context.Context) (api.DemotionChange, error) {
	return f.demotion(ctx, "reset")
}

func (f *fake) ForgetPeer(ctx context.Context, p api.ForgetPeer) (api.PeerForgotten, error) {
	_, err := f.change(ctx, fmt.Sprintf("forget %s %q", p.Address, p.Group))
	return api.PeerForgotten{Groups: []string{"eth0@1"}}, err
}

func (f *fake) done() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changes
}

// start serves on a socket of its own until the test ends.
func start(t *testing.T, b Backend) *api.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "s")
	t.Cleanup(func() {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	run(t, New(b, Options{Socket: path}))
	return &api.Client{Socket: path, Timeout: 10 * time.Second}
}

// run runs the server until the test ends.
func run(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func (f *fake) Checks(context.Context) (api.Checks, error) { return api.Checks{}, f.err }

func (f *fake) RunCheck(ctx context.Context, name string) (api.CheckRun, error) {
	_, err := f.change(ctx, "check "+name)
	return api.CheckRun{Name: name}, err
}
