// SPDX-License-Identifier: Apache-2.0

// Package goldenfile compares what a test produces with a file in the tree. It imports
// nothing of vipd.
package goldenfile

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Compare fails the test if got differs from the file, and prints the remedy. With -update
// it writes the file first.
func Compare(t testing.TB, path, got, remedy string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatalf("update: %v", err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; %s", err, remedy)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-file +got); %s:\n%s", path, remedy, diff)
	}
}
