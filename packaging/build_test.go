// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vipd/tests/needs"
)

// TestVersionOfBuild proves where the version comes from: the tag, else the commit, else the source.
func TestVersionOfBuild(t *testing.T) {
	t.Parallel()
	git := needs.Program(t, "git")
	dir := t.TempDir()
	for _, name := range []string{"packaging/build.sh", "agent/control/api/version.go"} {
		data, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		if name != "packaging/build.sh" {
			data = []byte("var Version = \"1.2.3\"\n")
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	env := append(os.Environ(), "VERSION=", "SOURCE_DATE_EPOCH=", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(dir),
		"GIT_AUTHOR_DATE=1700000000 +0100", "GIT_COMMITTER_DATE=1700000000 +0100")
	inRepo := func(args ...string) {
		t.Helper()
		cmd := exec.Command(git, append([]string{"-c", "user.name=a", "-c", "user.email=a@b.invalid"}, args...)...)
		cmd.Dir, cmd.Env = dir, env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	stamp := func(want string) {
		t.Helper()
		cmd := exec.Command("bash", filepath.Join(dir, "packaging/build.sh"), "--env")
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if got := string(out); !strings.HasPrefix(got, want) || (err != nil) != strings.HasPrefix(want, "build:") {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}

	stamp("VERSION=1.2.3 COMMIT='' SOURCE_DATE_EPOCH='' ")
	inRepo("init", "-q")
	inRepo("add", ".")
	inRepo("commit", "-q", "-m", "a")
	inRepo("tag", "other")
	stamp("VERSION=1.2.3~git20231114221320.")
	inRepo("tag", "v1.2.4")
	stamp("build: the tag is v1.2.4, but agent/control/api/version.go has 1.2.3")
	inRepo("tag", "-d", "v1.2.4")
	inRepo("tag", "v1.2.3")
	stamp("VERSION=1.2.3 COMMIT=")
}
