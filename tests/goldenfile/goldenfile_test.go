// SPDX-License-Identifier: Apache-2.0

package goldenfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// outcome records how a test fails, instead of failing it.
type outcome struct {
	testing.TB
	text string
}

func (*outcome) Helper()                        {}
func (o *outcome) Errorf(f string, args ...any) { o.text += fmt.Sprintf(f, args...) }
func (o *outcome) Fatalf(f string, args ...any) { o.text += fmt.Sprintf(f, args...) }

func TestCompare(t *testing.T) {
	if *update {
		t.Skip("is about what happens without -update")
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got outcome
	Compare(&got, path, "one\n", "do this")
	if got.text != "" {
		t.Errorf("the same: %s", got.text)
	}
	Compare(&got, path, "two\n", "do this")
	if !strings.Contains(got.text, "do this") || !strings.Contains(got.text, "two") {
		t.Errorf("another: %q", got.text)
	}
	if has, err := os.ReadFile(path); err != nil || string(has) != "one\n" {
		t.Errorf("the file was changed: %q, %v", has, err)
	}
	*update = true
	defer func() { *update = false }()
	got.text = ""
	Compare(&got, path, "two\n", "do this")
	if has, err := os.ReadFile(path); err != nil || string(has) != "two\n" || got.text != "" {
		t.Errorf("updated: %q, %v, %s", has, err, got.text)
	}
}
