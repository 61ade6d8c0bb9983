// SPDX-License-Identifier: Apache-2.0

// Package needs is the only place where a test is skipped because it lacks something that the
// machine or the user does not have. It imports nothing of vipd.
package needs

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Env is the environment variable with the needs, separated by commas, whose lack is a
// failure and not a skip.
const Env = "VIPD_TEST_REQUIRE"

// Met skips the test if lacking is not nil, or fails it if Env promises the need.
func Met(t testing.TB, need string, lacking error) {
	t.Helper()
	switch {
	case lacking == nil:
	case slices.Contains(strings.Split(os.Getenv(Env), ","), need):
		t.Fatalf("%s promises %s: %v", Env, need, lacking)
	default:
		t.Skipf("needs %s: %v", need, lacking)
	}
}

// Root requires "root".
func Root(t testing.TB) {
	t.Helper()
	Met(t, "root", notRoot())
}

// NetNS requires "netns": the right to create network namespaces and devices in them.
func NetNS(t testing.TB) {
	t.Helper()
	Met(t, "netns", notRoot())
}

func notRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	return nil
}

// Program requires a program and returns its path.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	Met(t, name, err)
	return path
}
