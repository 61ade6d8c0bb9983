// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"slices"
	"testing"

	"vipd/agent/control/api"
)

func TestForgetPeer(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c := start(t, f)
	for _, p := range []api.ForgetPeer{{Address: "192.0.2.12"}, {Address: "fe80::12", Group: "eth0@1"}} {
		if done, err := c.ForgetPeer(t.Context(), p); err != nil || !slices.Equal(done.Groups, []string{"eth0@1"}) {
			t.Errorf("%+v: %+v, %v", p, done, err)
		}
	}
	for _, bad := range []string{"", "fw2", "192.0.2.12/24", "fe80::12%eth0"} {
		_, err := c.ForgetPeer(t.Context(), api.ForgetPeer{Address: bad})
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeBadRequest {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if want := []string{`forget 192.0.2.12 ""`, `forget fe80::12 "eth0@1"`}; !slices.Equal(f.done(), want) {
		t.Errorf("did %q, want %q", f.done(), want)
	}
}
