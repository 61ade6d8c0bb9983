// SPDX-License-Identifier: Apache-2.0

package object

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

const layoutFile = "testdata/layout.txt"

var updateLayout = flag.Bool("update-layout", false, "write "+layoutFile)

// TestLayoutVersion: a change of what is pinned needs a new version, or the next vipd adopts maps that it misreads.
// testdata/layout.txt holds the layout of the version.
func TestLayoutVersion(t *testing.T) {
	src, err := os.ReadFile("../../bpf/vipd_types.h")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^#define LAYOUT_VERSION (\d+)$`).FindSubmatch(src)
	if m == nil || string(m[1]) != fmt.Sprint(layoutVersion) || LayoutDir != fmt.Sprint("v", layoutVersion) {
		t.Fatalf("LAYOUT_VERSION is %q in C; layoutVersion %d and layoutDir %s in Go", m, layoutVersion, LayoutDir)
	}
	s, err := LoadBPF()
	if err != nil {
		t.Fatal(err)
	}
	now := fmt.Sprintf("version %d\n", layoutVersion)
	for _, name := range slices.Sorted(maps.Keys((&Set{}).All())) {
		p := s.Maps[name]
		now += fmt.Sprintf("\n%s: %v, flags %#x\n", name, p.Type, p.Flags)
		if p.Key != nil {
			now += strings.Join(layoutOf("key", 0, p.Key), "")
		}
		if p.Value != nil {
			now += strings.Join(layoutOf("value", 0, p.Value), "")
		}
	}
	if *updateLayout {
		if err := os.WriteFile(layoutFile, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	was, err := os.ReadFile(layoutFile)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(was), now); d != "" {
		t.Errorf(
			"what is pinned is laid out in another way: raise LAYOUT_VERSION in bpf/vipd_types.h, layoutVersion "+
				"and layoutDir (once between two releases), then\n"+
				"go test ./loader/object -run TestLayoutVersion -update-layout\n(-%s +now)\n%s",
			layoutFile,
			d,
		)
	}
}

// layoutOf lists where everything is in a type, by name: two of one size that change places
// change the layout, too.
func layoutOf(name string, offset uint32, typ btf.Type) (lines []string) {
	switch c := btf.UnderlyingType(typ).(type) {
	case *btf.Struct:
		for _, m := range c.Members {
			lines = append(lines, layoutOf(name+"."+m.Name, offset+m.Offset.Bytes(), m.Type)...)
		}
	case *btf.Array:
		lines = layoutOf(fmt.Sprintf("%s[%d]", name, c.Nelems), offset, c.Type)
	default:
		size, err := btf.Sizeof(c)
		if err != nil {
			return []string{fmt.Sprintf("  %s: %v\n", name, err)}
		}
		lines = []string{fmt.Sprintf("  %4d %s: %d bytes\n", offset, name, size)}
	}
	return lines
}
