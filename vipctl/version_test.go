// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"encoding/json"
	"strings"
	"testing"

	"vipd/agent/control/api"
)

func TestVersion(t *testing.T) {
	own := api.ReadBuild()
	n := &node{status: healthy()}
	socket := n.serve(t)
	shows := func(daemon, warning string) {
		t.Helper()
		code, out, errs := run(t, Env{}, "--socket", socket, "version")
		if want := "vipctl " + own.String() + "\nvipd " + daemon + " on fw1\n"; code != ExitOK || out != want {
			t.Errorf("exit %d, %q, want %q", code, out, want)
		}
		if (errs == "") != (warning == "") || !strings.Contains(errs, warning) {
			t.Errorf("warning %q, want %q", errs, warning)
		}
	}
	n.status.Build = own
	shows(own.String(), "")
	n.status.Build.Commit, n.status.Build.Time = "89ab", "2026-11-29T13:49:59Z"
	shows(own.Version+" (89ab of 2026-11-29T13:49:59Z, "+own.GoVersion+")", "the builds differ")
	n.status.Version, n.status.Build = "0.0.9", api.Build{} // too old to have a build
	shows("0.0.9", "the versions differ")

	code, out, errs := run(t, Env{}, "--socket", "/none", "version")
	if code != ExitOK || out != "vipctl "+own.String()+"\n" || !strings.Contains(errs, "not reachable at /none") {
		t.Errorf("no daemon: exit %d, %q, %q", code, out, errs)
	}
}

func TestVersionJSON(t *testing.T) {
	n := &node{status: healthy()}
	n.status.Build = api.Build{Version: n.status.Version, Commit: "89ab", Time: "2026-11-29T13:49:59Z", GoVersion: "go1"}
	code, out, _ := run(t, Env{}, "--socket", n.serve(t), "version", "-o", "json")
	var got versions
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != ExitOK {
		t.Fatalf("exit %d, %v: %q", code, err, out)
	}
	if got.Node != "fw1" || got.Vipctl != api.Version || got.Vipd != n.status.Version ||
		got.Builds.Vipctl != api.ReadBuild() || got.Builds.Vipd != n.status.Build {
		t.Errorf("%+v", got)
	}
}
