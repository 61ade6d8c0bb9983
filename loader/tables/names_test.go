// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"unsafe"

	"vipd/loader/object"
)

// TestNames holds the tables of reasons against the C enums. They are read from the
// source: inlined functions leave no trace of their parameters' types in BTF.
func TestNames(t *testing.T) {
	src, err := os.ReadFile("../../bpf/vipd_types.h")
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
	s, err := object.LoadBPF()
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Maps[object.BPFMapPlaces].MaxEntries; n != maxPlaces {
		t.Errorf("%d places in C", n)
	}
	if n := s.Maps[object.BPFMapVipPlaces].MaxEntries; n != 1<<vipPlaceBits {
		t.Errorf("%d places of addresses in C", n)
	}
	if n := unsafe.Sizeof(object.BPFVipPlace{}); n != placeWords*8 {
		t.Errorf("a place of an address has %d bytes in C", n)
	}
	if n := len(object.BPFAuth{}.Ctx); n != MaxContexts {
		t.Errorf("%d contexts in C", n)
	}
	if n := len(object.BPFRole{}.Src); n != MaxSources {
		t.Errorf("%d sources in C", n)
	}
	for name := range s.Maps {
		if len(name) > 15 && !strings.HasPrefix(name, ".") {
			t.Errorf("map name %s is cut off by the kernel", name)
		}
	}
}
