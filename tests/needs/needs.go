// SPDX-License-Identifier: Apache-2.0

// Package needs is the one place where a test of any package is skipped for want of what the
// machine or the user has. It imports nothing of vipd.
package needs

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Env names the environment variable with the needs, separated by commas, whose lack is a
// failure: where they are promised, a skip would be a lie.
const Env = "VIPD_TEST_REQUIRE"

// Met skips the test, or fails it where the need is promised, if lacking says why it is not met.
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

// Root is the need "root".
func Root(t testing.TB) {
	t.Helper()
	Met(t, "root", notRoot())
}

// NetNS is the need "netns": to make network namespaces and devices in them.
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

// Program is a need by the name of the program; it returns its path.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	Met(t, name, err)
	return path
}
