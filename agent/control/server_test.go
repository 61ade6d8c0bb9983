// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vipd/agent/control/api"
)

func TestClientAndServer(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c := start(t, f)
	ctx := t.Context()

	st, err := c.Status(ctx)
	if err != nil || st.Node != "fw1" || st.Groups[0].Addresses == nil || st.Demotions == nil {
		t.Errorf("status %+v, %v", st, err)
	}
	if g, err := c.Group(ctx, "eth0.1@1"); err != nil || g.Name != "eth0.1@1" {
		t.Errorf("group %+v, %v", g, err)
	}
	_, err = c.Group(ctx, "a/b@1")
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeNoSuchGroup || e.Status != http.StatusNotFound ||
		e.Message != `no group "a/b@1"` {
		t.Errorf("unknown group: %#v", err)
	}
	if m, err := c.Maintenance(ctx); err != nil || !reflect.DeepEqual(m, api.Change{Enabled: true, Maintenance: true}) {
		t.Errorf("maintenance %+v, %v", m, err)
	}
	for _, do := range []func(context.Context) (api.Change, error){
		c.Disable,
		c.Enable,
		c.EnterMaintenance,
		c.LeaveMaintenance,
	} {
		if ch, err := do(ctx); err != nil || !ch.Changed {
			t.Errorf("%+v, %v", ch, err)
		}
	}
	if r, err := c.Reload(ctx, true); err != nil || len(r.Added) != 1 {
		t.Errorf("reload %+v, %v", r, err)
	}
	want := []string{"enabled false", "enabled true", "maintenance true", "maintenance false", "reload"}
	if diff := cmp.Diff(want, f.done()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if raw, err := c.RawStatus(ctx); err != nil || !bytes.Contains(raw, []byte(`"demotions":[]`)) {
		t.Errorf("raw status %s, %v", raw, err)
	}
}

func TestBackendErrors(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c := start(t, f)
	for _, tt := range []struct {
		name string
		err  error
		want api.Error
	}{
		{"plain", errors.New("disk full"), api.Error{Code: api.CodeInternal, Message: "disk full", Status: 500}},
		{
			"config", &api.Error{Code: api.CodeInvalidConfig, Message: "refused", Problems: []string{"f:1: x", "f:2: y"}},
			api.Error{Code: api.CodeInvalidConfig, Message: "refused", Problems: []string{"f:1: x", "f:2: y"}, Status: 422},
		},
		{"late", context.DeadlineExceeded, api.Error{
			Code:    api.CodeTimeout,
			Message: "vipd did not finish in time: context deadline exceeded; look at its log",
			Status:  504,
		}},
	} {
		f.err = tt.err
		_, err := c.Reload(t.Context(), false)
		var e *api.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, *e); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestClientHangsUp: what was begun is finished.
func TestClientHangsUp(t *testing.T) {
	t.Parallel()
	f := &fake{block: make(chan struct{}), entered: make(chan struct{}, 1)}
	c := start(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { _, err := c.EnterMaintenance(ctx); gone <- err }()
	<-f.entered
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("client: %v", err)
	}
	close(f.block)
	for deadline := time.Now().Add(5 * time.Second); len(f.done()) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the change was given up with its client")
		}
		time.Sleep(time.Millisecond)
	}
}
