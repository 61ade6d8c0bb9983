// SPDX-License-Identifier: Apache-2.0

package object

import (
	"reflect"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// TestLayout compares size and offsets of every shared structure, Go against BTF.
func TestLayout(t *testing.T) {
	s, err := LoadBPF()
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"group_key": BPFGroupKey{},
		"group_val": BPFGroupVal{},
		"place":     BPFPlace{},
		"vip_key":   BPFVipKey{},
		"vip_val":   BPFVipVal{},
		"role":      BPFRole{}, "auth": BPFAuth{}, "seen": BPFSeen{}, "source_key": BPFSourceKey{},
		"heard":      BPFHeard{},
		"peer_val":   BPFPeerVal{},
		"source_val": BPFSourceVal{}, "group_stats": BPFGroupStats{}, "vip_stats": BPFVipStats{},
		"if_stats":   BPFIfStats{},
		"budget":     BPFBudget{},
		"tap_used":   BPFTapUsed{},
		"tap_sample": BPFTapSample{},
		"event":      BPFEvent{},
		"claim":      BPFClaim{},
		"hello":      BPFHello{},
		"scratch":    BPFScratch{},
		"iface":      BPFIface{},
		"meta":       BPFMeta{},
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
