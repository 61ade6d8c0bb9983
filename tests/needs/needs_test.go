// SPDX-License-Identifier: Apache-2.0

package needs

import (
	"errors"
	"fmt"
	"testing"
)

// outcome notes how a test ends, instead of ending it.
type outcome struct {
	testing.TB
	skipped, failed string
}

func (*outcome) Helper()                        {}
func (o *outcome) Skipf(f string, args ...any)  { o.skipped = fmt.Sprintf(f, args...) }
func (o *outcome) Fatalf(f string, args ...any) { o.failed = fmt.Sprintf(f, args...) }

func TestMet(t *testing.T) {
	for _, tt := range []struct {
		promised        string
		lacking         error
		skipped, failed string
	}{
		{"root,netns", nil, "", ""},
		{"", errors.New("none"), "needs netns: none", ""},
		{"root,netnsx", errors.New("none"), "needs netns: none", ""},
		{"root,netns", errors.New("none"), "", Env + " promises netns: none"},
	} {
		t.Setenv(Env, tt.promised)
		var got outcome
		Met(&got, "netns", tt.lacking)
		if got.skipped != tt.skipped || got.failed != tt.failed {
			t.Errorf("%+v: skipped %q, failed %q", tt, got.skipped, got.failed)
		}
	}
}

func TestProgram(t *testing.T) {
	t.Setenv(Env, "no-such-program")
	var got outcome
	if Program(&got, "no-such-program"); got.failed == "" {
		t.Error("a promised program that is not there is no failure")
	}
	if path := Program(t, "go"); path == "" {
		t.Error("no path of go")
	}
}
