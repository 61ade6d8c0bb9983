// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"vipd/agent/control/api"
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

// TestVersionInFiles proves that CHANGELOG.md begins with the version of the source, and that the examples for
// containers name its image.
func TestVersionInFiles(t *testing.T) {
	t.Parallel()
	image := regexp.MustCompile(`\b(localhost|registry\.example)/vipd:([0-9.]+)`)
	for _, name := range []string{"container/vipd.container", "container/vipd-pod.yaml", "../docs/howto/container.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found := image.FindAllStringSubmatch(string(text), -1)
		for _, m := range found {
			if m[2] != api.Version {
				t.Errorf("%s has %s, the version is %s", name, m[0], api.Version)
			}
		}
		if len(found) == 0 {
			t.Errorf("%s names no image", name)
		}
	}
	log, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	_, entry, _ := strings.Cut(string(log), "\n## ")
	first, _, _ := strings.Cut(entry, "\n")
	if !strings.HasPrefix(first, "["+api.Version+"]") {
		t.Errorf("CHANGELOG.md begins with %q, the version is %s", first, api.Version)
	}
}
