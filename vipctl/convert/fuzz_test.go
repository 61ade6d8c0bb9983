// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hold checks that every input gives either problems with lines, or a config that vipd accepts.
func hold(t *testing.T, do converter, data []byte) {
	got, err := do(File{"f", data}, Options{})
	if err != nil {
		if e, ok := errors.AsType[*Error](err); !ok || len(e.Problems) == 0 {
			t.Fatalf("error %#v", err)
		}
		if !oneLine(err.Error()) {
			t.Fatalf("problems %q", err)
		}
		return
	}
	accepted(t, got.TOML)
	for _, n := range got.Notes {
		if !oneLine(n.String()) {
			t.Fatalf("note %q", n)
		}
	}
}

func oneLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) })
}

func seeds(f *testing.F, dir string, more ...string) {
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*"))
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		if data, err := os.ReadFile(path); err == nil && !strings.HasSuffix(path, ".golden") {
			f.Add(data)
		}
	}
	for _, s := range more {
		f.Add([]byte(s))
	}
}

func FuzzUcarp(f *testing.F) {
	seeds(
		f,
		"ucarp",
		"ucarp -i\xff -v1 -p\x01 -a1.1.1.1",
		"iface e inet static\nucarp-vid 1\nucarp-vip 1.1.1.1\nucarp-password p\nnetmask 40\n",
	)
	f.Fuzz(func(t *testing.T, data []byte) { hold(t, Ucarp, data) })
}

func FuzzKeepalived(f *testing.F) {
	seeds(
		f,
		"keepalived",
		"$A=$A$A\n$A=$A$A\n$A{",
		"vrrp_instance \xff{\ninterface a\nvirtual_router_id 1\nvirtual_ipaddress{1.1.1.1 \x00}}",
	)
	f.Fuzz(func(t *testing.T, data []byte) { hold(t, Keepalived, data) })
}
