// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vipd/tests/executable"
	"vipd/tests/needs"
)

func TestHooksPassShellcheck(t *testing.T) {
	t.Parallel()
	check := needs.Program(t, "shellcheck")
	files, err := filepath.Glob("hooks/*")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if fi, err := os.Stat(f); err != nil || fi.Mode()&0o111 == 0 {
			t.Errorf("%s is not executable: %v", f, err)
		}
	}
	scripts, err := filepath.Glob("scripts/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%v, %v", scripts, err)
	}
	files = append(append(files, scripts...), "build.sh", "dist.sh", "image.sh", "install.sh", "package.sh",
		"tools/build.sh", "../tests/setup.sh", "../tests/packages.sh", "../tests/reproducible.sh",
		"../tests/testdata/container.sh")
	if out, err := exec.CommandContext(t.Context(), check, files...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// stage is a directory with stub commands that record how they were called.
type stage struct {
	t         *testing.T
	dir, bin  string
	defaults  string
	addresses string
}

func newStage(t *testing.T, commands map[string]string) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir(), addresses: "192.0.2.100/24 2001:db8::100/64"}
	s.bin, s.defaults = filepath.Join(s.dir, "bin"), filepath.Join(s.dir, "defaults")
	if err := os.Mkdir(s.bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range commands {
		executable.Script(t, filepath.Join(s.bin, name), "echo \"${0##*/} $*\" >>"+s.dir+"/calls\n"+text)
	}
	return s
}

func (s *stage) write(path, text string, mode os.FileMode) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
}

// run runs a hook as vipd would, and returns its status, its output, and the command lines of the stubs
// that it called.
func (s *stage) run(hook string, args ...string) (code int, output string, calls []string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "hooks/"+hook, args...)
	cmd.Env = []string{
		"PATH=" + s.bin + ":/usr/bin:/bin",
		"VIPD_ADDRESSES=" + s.addresses,
		"DIR=" + s.dir,
		"VIPD_CONNTRACKD_DEFAULTS=" + s.defaults,
		"VIPD_CLOUD_ROUTE_DEFAULTS=" + s.defaults,
		"VIPD_RADVD_DEFAULTS=" + s.defaults,
	}
	out, err := cmd.CombinedOutput()
	if ee, ok := errors.AsType[*exec.ExitError](err); ok {
		code = ee.ExitCode()
	} else if err != nil {
		s.t.Fatal(err)
	}
	if log, err := os.ReadFile(filepath.Join(s.dir, "calls")); err == nil {
		calls = strings.Split(strings.TrimSuffix(string(log), "\n"), "\n")
		if err := os.Remove(filepath.Join(s.dir, "calls")); err != nil {
			s.t.Fatal(err)
		}
	}
	return code, string(out), calls
}

func TestConntrackdHook(t *testing.T) {
	t.Parallel()
	s := newStage(t, map[string]string{"conntrackd": `[ "$3" != -R ] || [ ! -e "$DIR/broken" ]`})
	const c = "conntrackd -C /etc/conntrackd/conntrackd.conf "
	for state, want := range map[string][]string{
		"MASTER": {c + "-c", c + "-f", c + "-R", c + "-B"},
		"BACKUP": {c + "-t", c + "-n"},
		"INIT":   {c + "-t"},
	} {
		code, out, calls := s.run("conntrackd", "eth0@1", "BACKUP", state)
		if code != 0 || !slices.Equal(calls, want) || out != "" {
			t.Errorf("%s: status %d, %q, called %q, want %q", state, code, out, calls, want)
		}
	}
	s.write(s.dir+"/broken", "", 0o600)
	s.write(s.defaults, "CONNTRACKD_CONFIG=/other\n", 0o600)
	code, out, calls := s.run("conntrackd", "eth0@1", "BACKUP", "MASTER")
	if code != 1 || !strings.Contains(out, "resynchronise the internal cache") || len(calls) != 4 ||
		calls[3] != "conntrackd -C /other -B" {
		t.Errorf("a step fails: status %d, %q, called %q", code, out, calls)
	}
	if code, out, calls := s.run("conntrackd"); code != 2 || !strings.Contains(out, "usage:") || calls != nil {
		t.Errorf("no arguments: status %d, %q, %q", code, out, calls)
	}
}

// A step that hangs is killed at its timeout, and the next ones still run.
func TestConntrackdHookHangs(t *testing.T) {
	t.Parallel()
	s := newStage(t, map[string]string{"conntrackd": `[ "$3" != -t ] || exec sleep 60`})
	s.write(s.defaults, "STEP_TIMEOUT=3\n", 0o600)
	code, out, calls := s.run("conntrackd", "eth0@1", "MASTER", "BACKUP")
	if code != 1 || len(calls) != 2 || !strings.Contains(out, "shorten") {
		t.Errorf("status %d, %q, called %q", code, out, calls)
	}
}

func TestCloudRouteHook(t *testing.T) {
	t.Parallel()
	s := newStage(t, map[string]string{
		"curl": `n=$(cat "$DIR/fail" 2>/dev/null || echo 0)
[ "$n" -eq 0 ] || { echo $((n - 1)) >"$DIR/fail"; echo "curl: (22) 503" >&2; exit 22; }`,
	})
	s.write(s.defaults, "CLAIM='curl -fsS --max-time 5 https://api.example/ips/$ADDRESS'\nPAUSE=0.01\nTRIES=3\n", 0o600)
	const curl = "curl -fsS --max-time 5 https://api.example/ips/"
	const four, six = curl + "192.0.2.100", curl + "2001:db8::100"
	tests := []struct {
		name, to, failing string
		code              int
		calls             []string
		said              string
	}{
		{"backup does nothing", "BACKUP", "0", 0, nil, ""},
		{"init does nothing", "INIT", "0", 0, nil, ""},
		{"master", "MASTER", "0", 0, []string{four, six}, "2001:db8::100 is here"},
		{"tries again", "MASTER", "2", 0, []string{four, four, four, six}, "503"},
		{
			"gives up and continues", "MASTER", "3", 1,
			[]string{four, four, four, six},
			"192.0.2.100 was not claimed in 3 tries",
		},
	}
	for _, tt := range tests {
		s.write(s.dir+"/fail", tt.failing, 0o600)
		code, out, calls := s.run("cloud-route", "eth0@1", "BACKUP", tt.to)
		if code != tt.code || !slices.Equal(calls, tt.calls) || !strings.Contains(out, tt.said) {
			t.Errorf("%s: status %d, %q, called %q", tt.name, code, out, calls)
		}
	}
	s.write(s.defaults, "", 0o600)
	code, out, calls := s.run("cloud-route", "eth0@1", "BACKUP", "MASTER")
	if code != 2 || !strings.Contains(out, "CLAIM is not set") || calls != nil {
		t.Errorf("without settings: status %d, %q, %q", code, out, calls)
	}
}

func TestRadvdHook(t *testing.T) {
	t.Parallel()
	s := newStage(t, map[string]string{"systemctl": "[ \"$2\" != broken ]"})
	for state, want := range map[string]string{
		"MASTER": "systemctl start radvd",
		"BACKUP": "systemctl stop radvd",
		"INIT":   "systemctl stop radvd",
	} {
		code, out, calls := s.run("radvd", "eth0@1", "BACKUP", state)
		if code != 0 || !slices.Equal(calls, []string{want}) {
			t.Errorf("%s: status %d, %q, called %q", state, code, out, calls)
		}
	}
	s.write(s.defaults, "SERVICE=broken\n", 0o600)
	code, _, calls := s.run("radvd", "eth0@1", "BACKUP", "MASTER")
	if code == 0 || !slices.Equal(calls, []string{"systemctl start broken"}) {
		t.Errorf("a service that does not start: status %d, called %q", code, calls)
	}
}
