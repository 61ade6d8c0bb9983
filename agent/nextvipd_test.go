// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/tests/executable"
)

// The config is checked by the program that will read it: by one that was installed meanwhile if there is one.
func TestTheNextVipdChecksTheConfig(t *testing.T) {
	running := config.Default()
	running.Source, running.Groups = "vipd.toml", []config.Group{{Interface: "eth0", VHID: 1}}
	load := func(groups int, err error) func() (*config.Config, []config.Problem, error) {
		return func() (*config.Config, []config.Problem, error) {
			c := config.Default()
			c.Groups = running.Groups[:groups]
			return c, nil, err
		}
	}
	installed := func(script string) Program {
		path := executable.Script(t, "vipd", script)
		return Program{Path: path, Args: []string{"--config", "/etc/vipd/vipd.toml"}}
	}
	same := ThisProgram(nil)
	if same.Path == "" || same.replaced() {
		t.Errorf("the program of this test was replaced: %+v", same)
	}
	invalid := errors.New("vipd.toml:3: no such key")
	for name, tt := range map[string]struct {
		opts Options
		code string // of the refusal
		want string // of the error
	}{
		"same program, good":    {Options{Next: same, Load: load(1, nil)}, "", ""},
		"same program, bad":     {Options{Next: same, Load: load(1, invalid)}, api.CodeInvalidConfig, "the running"},
		"same program, emptied": {Options{Next: same, Load: load(0, nil)}, api.CodeInvalidConfig, "reload --force"},
		"same program, flags":   {Options{Next: same}, "", ""},
		"another program, good": {
			opts: Options{
				Next: installed(`[ "$*" = "--config /etc/vipd/vipd.toml --check" ] && echo "x: ok, 1 groups"`),
				Load: load(1, invalid),
			},
		},
		"another program, bad": {
			opts: Options{Next: installed("echo f:1: colour >&2; exit 2"), Load: load(1, nil)},
			code: api.CodeInvalidConfig,
			want: "f:1: colour",
		},
		"another program, emptied": {
			opts: Options{Next: installed(`echo "x: ok, 0 groups"`), Load: load(1, nil)},
			code: api.CodeInvalidConfig,
			want: "reload --force",
		},
		"another program, broken": {
			opts: Options{Next: installed("echo illegal >&2; exit 126"), Load: load(1, nil)},
			want: "illegal",
		},
		"program removed": {
			opts: Options{Next: Program{Path: filepath.Join(t.TempDir(), "vipd")}, Load: load(1, nil)},
			want: "cannot run",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.opts.checkNext(t.Context(), running)
			e, isAPI := errors.AsType[*api.Error](err)
			if tt.want == "" != (err == nil) || err != nil && !strings.Contains(fmt.Sprint(err), tt.want) ||
				isAPI != (tt.code != "") ||
				isAPI && e.Code != tt.code {
				t.Errorf("%v, want %q (%s)", err, tt.want, tt.code)
			}
		})
	}
}
