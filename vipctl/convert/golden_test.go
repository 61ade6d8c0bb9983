// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vipd/agent/config"
	"vipd/tests/goldenfile"
)

type converter func(File, Options) (*Result, error)

func testInclude(from, pattern string) ([]File, error) {
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(from), pattern))
	var out []File
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out = append(out, File{path, data})
	}
	return out, err
}

// accepted checks that vipd accepts the result.
func accepted(t *testing.T, toml string) *config.Config {
	t.Helper()
	cfg, _, err := config.Parse("result.toml", []byte(toml), config.Options{
		Mode: 0o644, Hostname: func() (string, error) { return "host", nil },
		ReadFile: func(string) ([]byte, fs.FileMode, error) { return []byte("sesame\n"), 0o600, nil },
	})
	if err != nil {
		t.Fatalf("vipd refuses it: %v\n%s", err, toml)
	}
	return cfg
}

// TestGolden converts real configurations. The golden files have the config with its notes.
func TestGolden(t *testing.T) {
	for _, tt := range []struct {
		path   string
		do     converter
		groups int
		keys   string
	}{
		{"testdata/ucarp/interfaces", Ucarp, 2, "/k/eth0-3.key sesame-of-eth0 /k/eth1-4.key sesame-of-eth1"},
		{"testdata/ucarp/script", Ucarp, 2, "/k/eth0-42.key open $esame"},
		{"testdata/ucarp/unit.service", Ucarp, 1, ""},
		{"testdata/keepalived/gateway.conf", Keepalived, 3, ""},
	} {
		t.Run(filepath.Base(tt.path), func(t *testing.T) {
			data, err := os.ReadFile(tt.path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tt.do(File{tt.path, data}, Options{KeyDir: "/k", Include: testInclude})
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			for _, k := range got.Keys {
				keys = append(keys, k.Path, k.Password)
				if strings.Contains(got.TOML, k.Password) {
					t.Errorf("a password is in the config")
				}
				for _, n := range got.Notes {
					if strings.Contains(n.Text, k.Password) {
						t.Errorf("a password is in a note: %s", n)
					}
				}
			}
			if strings.Join(keys, " ") != tt.keys {
				t.Errorf("keys %q, want %q", keys, tt.keys)
			}
			if cfg := accepted(t, got.TOML); len(cfg.Groups) != tt.groups {
				t.Errorf("%d groups, want %d", len(cfg.Groups), tt.groups)
			}
			goldenfile.Compare(t, tt.path+".golden", got.TOML, "-update if meant")
		})
	}
}

// problems returns the problems of a refused input, without the file name.
func problems(t *testing.T, err error) []string {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	var out []string
	for _, p := range e.Problems {
		out = append(out, strings.TrimPrefix(p.String(), "f:"))
	}
	return out
}
