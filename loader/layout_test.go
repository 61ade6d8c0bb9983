// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf/btf"
)

// TestLayout compares size and offsets of every shared structure, Go against BTF.
func TestLayout(t *testing.T) {
	s, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"group_key": bpfGroupKey{}, "group_val": bpfGroupVal{}, "place": bpfPlace{}, "vip_key": bpfVipKey{}, "vip_val": bpfVipVal{},
		"role": bpfRole{}, "auth": bpfAuth{}, "seen": bpfSeen{}, "source_key": bpfSourceKey{},
		"source_val": bpfSourceVal{}, "group_stats": bpfGroupStats{}, "vip_stats": bpfVipStats{},
		"if_stats": bpfIfStats{}, "budget": bpfBudget{}, "tap_used": bpfTapUsed{}, "tap_sample": bpfTapSample{}, "event": bpfEvent{}, "iface": bpfIface{}, "meta": bpfMeta{},
	} {
		var c *btf.Struct
		if err := s.Types.TypeByName(name, &c); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sameLayout(t, name, c, reflect.TypeOf(v))
	}
}

func sameLayout(t *testing.T, name string, c btf.Type, g reflect.Type) {
	t.Helper()
	switch c := btf.UnderlyingType(c).(type) {
	case *btf.Array:
		if g.Kind() != reflect.Array || g.Len() != int(c.Nelems) {
			t.Errorf("%s: %s in Go, array of %d in C", name, g, c.Nelems)
			return
		}
		sameLayout(t, name+"[]", c.Type, g.Elem())
	case *btf.Struct:
		if int(g.Size()) != int(c.Size) {
			t.Errorf("%s: %d bytes in Go, %d in C", name, g.Size(), c.Size)
		}
		fields := make([]reflect.StructField, 0, g.NumField())
		for f := range g.Fields() {
			if f.Name != "_" {
				fields = append(fields, f)
			}
		}
		if len(fields) != len(c.Members) {
			t.Errorf("%s: %d fields in Go, %d in C", name, len(fields), len(c.Members))
			return
		}
		for i, m := range c.Members {
			if fields[i].Offset != uintptr(m.Offset.Bytes()) {
				t.Errorf("%s.%s: offset %d in Go, %d in C", name, m.Name, fields[i].Offset, m.Offset.Bytes())
			}
			sameLayout(t, name+"."+m.Name, m.Type, fields[i].Type)
		}
	default:
		size, err := btf.Sizeof(c)
		if err != nil || size != int(g.Size()) {
			t.Errorf("%s: %d bytes in Go, %d in C (%v)", name, g.Size(), size, err)
		}
	}
}

// TestNames holds the tables of reasons against the C enums. They are read from the
// source: inlined functions leave no trace of their parameters' types in BTF.
func TestNames(t *testing.T) {
	src, err := os.ReadFile("../bpf/vipd_types.h")
	if err != nil {
		t.Fatal(err)
	}
	for enum, e := range map[string]struct {
		prefix string
		names  []string
	}{
		"reject":   {"REJECT_", rejectNames[:]},
		"dropped":  {"DROP_", droppedNames[:]},
		"if_count": {"IF_", ifCountNames[:]},
		"tap_what": {"TAP_", sampleNames[:]},
	} {
		body := regexp.MustCompile(`enum ` + enum + ` \{([^}]*)\}`).FindSubmatch(src)
		if body == nil {
			t.Errorf("no enum %s", enum)
			continue
		}
		var want []string
		for _, m := range regexp.MustCompile(`(?m)^\t`+e.prefix+`([A-Z_0-9]+),`).FindAllSubmatch(body[1], -1) {
			name := strings.ToLower(string(m[1]))
			name = strings.Replace(name, "none", "", 1)
			want = append(want, strings.Replace(name, "egress_", "egress_not_answering_", 1))
		}
		if got := fmt.Sprintf("%q", e.names); got != fmt.Sprintf("%q", want) {
			t.Errorf("%s: %s in Go, %q in C", enum, got, want)
		}
	}
}

// TestMapBounds holds the constants of both sides together.
func TestMapBounds(t *testing.T) {
	s, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Maps[bpfMapGroups].MaxEntries; n != DefaultMaxGroups {
		t.Errorf("%d groups in C", n)
	}
	if n := s.Maps[bpfMapVips].MaxEntries; n != DefaultMaxVIPs {
		t.Errorf("%d vips in C", n)
	}
	if n := s.Maps[bpfMapPlaces].MaxEntries; n != maxPlaces {
		t.Errorf("%d places in C", n)
	}
	if n := s.Maps[bpfMapVipPlaces].MaxEntries; n != 1<<vipPlaceBits {
		t.Errorf("%d places of addresses in C", n)
	}
	if n := unsafe.Sizeof(bpfVipPlace{}); n != placeWords*8 {
		t.Errorf("a place of an address has %d bytes in C", n)
	}
	if n := len(bpfAuth{}.Ctx); n != MaxContexts {
		t.Errorf("%d contexts in C", n)
	}
	if n := len(bpfRole{}.Src); n != MaxSources {
		t.Errorf("%d sources in C", n)
	}
	for name := range s.Maps {
		if len(name) > 15 && !strings.HasPrefix(name, ".") {
			t.Errorf("map name %s is cut off by the kernel", name)
		}
	}
}
