// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The examples of `vipctl config example` pass the check as they are, once their key files exist, and so do their
// parts that are commented out.
func TestExamplesPassTheCheck(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../vipctl/examples/*.toml")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	option := regexp.MustCompile(`(?m)^# (\[|\w+ = )`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"as is": string(text), "all": option.ReplaceAllString(string(text), "$1")} {
			dir := t.TempDir()
			text = strings.ReplaceAll(text, "/etc/vipd/", dir+"/")
			for _, m := range regexp.MustCompile(`password_file = "(.*)"`).FindAllStringSubmatch(text, -1) {
				if err := os.WriteFile(m[1], []byte("secret\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, "vipd.toml")
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), []string{"vipd", "--config", path, "--check"}, &stdout, &stderr); code != 0 {
				t.Errorf("%s (%s): exit %d\n%s", file, name, code, stderr.String())
			}
		}
	}
}
