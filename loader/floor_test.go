// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// TestFloor: the programs and maps need nothing newer than Linux 5.15, but for what is
// probed and left out. So a new helper or kind of map does not raise the floor unseen.
func TestFloor(t *testing.T) {
	const (
		lastHelper = asm.FnTaskPtRegs      // of 5.15 in include/uapi/linux/bpf.h
		lastMap    = ebpf.TaskStorage      // of 5.15
		mapFlags   = unix.BPF_F_MMAPABLE | // 5.5
			unix.BPF_F_NO_PREALLOC | unix.BPF_F_RDONLY_PROG // 4.6, 5.2
	)
	probed := map[asm.BuiltinFunc]bool{asm.FnXdpGetBuffLen: true}
	for name, load := range map[string]func() (*ebpf.CollectionSpec, error){
		"vipd":    object.LoadBPF,
		"ingress": object.LoadIngress,
	} {
		s, err := load()
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		for _, p := range s.Programs {
			for _, ins := range p.Instructions {
				if ins.IsKfuncCall() {
					t.Errorf("%s: %s calls a kernel function (%v), which no network program could in 5.15", name, p.Name, ins)
				}
				if !ins.IsBuiltinCall() {
					continue
				}
				calls++
				if f := asm.BuiltinFunc(ins.Constant); f > lastHelper && !probed[f] {
					t.Errorf("%s: %s calls %v, which 5.15 has not", name, p.Name, f)
				}
			}
			if name == "vipd" {
				object.DropFrags(s)
			}
			if p.Flags != 0 {
				t.Errorf("%s: %s has the flags %#x once frames of several buffers are left out", name, p.Name, p.Flags)
			}
		}
		for _, m := range s.Maps {
			if m.Type > lastMap || m.Flags&^mapFlags != 0 {
				t.Errorf("%s: map %s is a %v with flags %#x, which 5.15 may not have", name, m.Name, m.Type, m.Flags)
			}
		}
		if calls == 0 || len(s.Maps) == 0 {
			t.Errorf("%s: %d calls, %d maps", name, calls, len(s.Maps))
		}
	}
}

// TestSingleBuffer: where the probe finds no frames in several buffers the program is
// loaded without, one line says so, and it serves; also what is adopted.
func TestSingleBuffer(t *testing.T) {
	ours, peer := kerneltest.Pair(t, "loader-single")
	if err := netlink.LinkSetMTU(peer, 9000); err != nil {
		t.Fatal(err)
	}
	index := ours.Attrs().Index
	if (object.Options{}).SeveralBuffers() {
		d := openTest(t, Options{})
		if _, err := d.Attach(index, "ours", attach.ModeNative); err != nil {
			t.Fatalf("no witness: with large frames native mode is refused, too: %v", err)
		}
		if err := d.Detach(index); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	o := Options{Dir: kerneltest.TestDir(), Adopt: true, SingleBuffer: true, Log: slog.New(slog.NewTextHandler(&log, nil))}
	d := openTest(t, o)
	// veth refuses such a program where its peer may send more than one buffer holds.
	if _, err := d.Attach(index, "ours", attach.ModeNative); err == nil {
		t.Error("native mode was accepted: the program takes frames in several buffers")
	}
	for _, adopted := range []bool{false, true} {
		if adopted {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = openTest(t, o)
		}
		if n := strings.Count(log.String(), "Linux 5.18 or newer"); n != 1 {
			t.Errorf("adopted %v: %d lines name the kernel, want one:\n%s", adopted, n, log.String())
		}
		log.Reset()
		if at, err := d.Attach(index, "ours", attach.ModeGeneric); err != nil || at.Mode != attach.ModeGeneric {
			t.Fatalf("adopted %v: %+v, %v", adopted, at, err)
		}
		s := model.GoldenSpec("192.0.2.1")
		s.IfIndex = index
		g, err := d.AddGroup(s)
		if err != nil {
			t.Fatal(err)
		}
		if !adopted {
			g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 1, Lease: model.BootNow() + 60e9})
		}
		far := kerneltest.PacketSocket(t, peer)
		far.Send(model.ARPFor("192.0.2.1").Bytes())
		if far.Receive(kerneltest.IsARP, 5*time.Second) == nil {
			t.Errorf("adopted %v: no answer", adopted)
		}
	}
}
