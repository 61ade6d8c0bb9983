// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"

	"vipd/loader"
	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
	"vipd/loader/object"
)

// TestIngressBehindFrags: the kernel shows tc programs no Ethernet header where somebody's
// generic XDP program takes frames in several buffers; ours work all the same.
func TestIngressBehindFrags(t *testing.T) {
	if features.HaveProgramHelper(ebpf.XDP, asm.FnXdpGetBuffLen) != nil {
		t.Skip("no xdp.frags before Linux 5.18")
	}
	bothWays(t, func(t *testing.T, clsact bool, hook string) {
		const hasFrags = 1 << 5 // BPF_F_XDP_HAS_FRAGS
		s := newSettling(t, "loader-frags-"+hook, loader.Options{ForceClsact: clsact}, func(ifindex int) {
			p := kerneltest.Must(ebpf.NewProgram(&ebpf.ProgramSpec{
				Type: ebpf.XDP, Name: "several", License: "GPL", Flags: hasFrags,
				Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, model.XDPPass), asm.Return()},
			}))
			defer p.Close()
			l := kerneltest.Must(link.AttachXDP(link.XDPOptions{Program: p, Interface: ifindex, Flags: link.XDPGenericMode}))
			t.Cleanup(func() { _ = l.Close() })
		})
		s.works("behind xdp.frags")
		deliversToStack(t, s.ours, s.far)
	})
}

// TestReturnToXDP: when the other program has been gone for a while, XDP takes over from tc ingress. Every frame is
// processed exactly once at any time.
func TestReturnToXDP(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool, hook string) {
		const rest = 300 * time.Millisecond
		var theirs link.Link
		s := newSettling(
			t,
			"loader-return-"+hook,
			loader.Options{ForceClsact: clsact, SlotRest: rest},
			func(ifindex int) {
				theirs = occupy(t, ifindex, "somebody", link.XDPGenericMode)
			},
		)
		s.whole("at first")
		s.works("at first")

		// It restarts as another, in another mode: it must find its slot free.
		_ = theirs.Close()
		s.whole("just gone")
		theirs = occupy(t, s.index, "restarted", link.XDPDriverMode)
		got := s.repair("come back")
		if got.Mode != attach.ModeTC || !strings.Contains(got.Note, "restarted") || got.Returned || got.Lost != nil {
			t.Errorf("come back: %+v", got)
		}
		time.Sleep(rest)
		s.whole("come back for a while")

		_ = theirs.Close()
		s.whole("gone")
		if in := ingressSits(t, s.ours); in != hook {
			t.Errorf("gone, and at rest: %q on ingress", in)
		}
		time.Sleep(rest)
		got = s.repair("gone for a while")
		if got.Mode != attach.ModeGeneric || got.Note != "" || !got.Returned || got.Lost != nil {
			t.Errorf("gone for a while: %+v", got)
		}
		if in, out := ingressSits(t, s.ours), kerneltest.Left(t, s.ours); in != hook ||
			out != "xdp "+kerneltest.Fence(clsact) {
			t.Errorf("both: %q on ingress, and %q", in, out)
		}
		s.works("both") // takes longer than bothFor
		got = s.repair("both for long enough")
		if got.Mode != attach.ModeGeneric || got.Returned || got.Lost != nil {
			t.Errorf("at last: %+v", got)
		}
		if in, out := ingressSits(t, s.ours), kerneltest.Left(t, s.ours); in != "" || out != "xdp "+kerneltest.Fence(clsact) {
			t.Errorf("at last: %q on ingress, and %q", in, out)
		}
		if n, ok := s.d.Attended(s.index); n != 0 || !ok {
			t.Errorf("interrupted %d times, %v", n, ok)
		}
		s.whole("at last")
		s.works("at last")
		if err := s.d.Remove(); err != nil {
			t.Error(err)
		}
		if kerneltest.Left(t, s.ours) != "" {
			t.Errorf("left: %s", kerneltest.Left(t, s.ours))
		}
	})
}

// TestReturnRefused: a slot that is free and cannot be had is tried less and less often,
// and tc ingress goes on.
func TestReturnRefused(t *testing.T) {
	var theirs link.Link
	s := newSettling(t, "loader-refused", loader.Options{SlotRest: 100 * time.Millisecond}, func(ifindex int) {
		theirs = occupy(t, ifindex, "somebody", link.XDPGenericMode)
	})
	mode, note := s.d.Now(s.index).Mode, s.d.Now(s.index).Note
	_ = theirs.Close()
	s.whole("gone")
	s.d.SetWant(s.index, "odd") // no way leads there
	for _, wait := range []time.Duration{100, 200, 400} {
		time.Sleep(wait * time.Millisecond)
		if got := s.repair("refused"); got.Mode != mode || got.Note != note || got.Returned {
			t.Errorf("refused: %+v", got)
		}
		s.whole("refused")
	}
	s.works("refused")
	s.d.SetWant(s.index, attach.ModeGeneric)
	time.Sleep(800 * time.Millisecond)
	if got := s.repair("possible again"); !got.Returned {
		t.Errorf("possible again: %+v", got)
	}
}

// TestReturnAfterDeath: what died on tc ingress, or with both, is adopted by XDP alone,
// and cleaned up whole.
func TestReturnAfterDeath(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool, hook string) {
		for _, died := range []string{"ingress", "both"} {
			for _, clean := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s clean %v", died, clean), func(t *testing.T) {
					o := loader.Options{Dir: kerneltest.TestDir(), ForceClsact: clsact, SlotRest: time.Millisecond}
					var theirs link.Link
					s := newSettling(t, "loader-died-"+hook, o, func(ifindex int) {
						theirs = occupy(t, ifindex, "somebody", link.XDPGenericMode)
					})
					_ = theirs.Close()
					if died == "both" {
						s.whole("gone") // seen for the first time
						time.Sleep(10 * time.Millisecond)
						if got := s.repair("both"); !got.Returned {
							t.Fatalf("%+v", got)
						}
					}
					if err := s.d.Close(); err != nil {
						t.Fatal(err)
					}
					if in := ingressSits(t, s.ours); in != hook {
						t.Fatalf("the dead one left %q on ingress", in)
					}
					if clean {
						if _, err := loader.Cleanup(o); err != nil {
							t.Fatal(err)
						}
						if in := ingressSits(t, s.ours); in != "" || kerneltest.Left(t, s.ours) != "" {
							t.Errorf("cleaned up: %q on ingress, and %s", in, kerneltest.Left(t, s.ours))
						}
						return
					}
					if a := s.open(o, attach.ModeGeneric); a.Mode != attach.ModeGeneric || a.Note != "" {
						t.Errorf("adopted: %+v", a)
					}
					s.works("adopted")
					if died == "ingress" {
						s.repair("both")
					}
					s.whole("at last")
					if in, out := ingressSits(t, s.ours), kerneltest.Left(t, s.ours); in != "" ||
						out != "xdp "+kerneltest.Fence(clsact) {
						t.Errorf("at last: %q on ingress, and %q", in, out)
					}
					var v object.BPFIface
					if err := s.d.Objects().Ifaces.Lookup(uint32(s.index), &v); err != nil ||
						v.Flags&(attach.IfaceBoth|attach.IfaceIngress) != 0 {
						t.Errorf("noted: %+v, %v", v, err)
					}
					s.works("at last")
				})
			}
		}
	})
}

// TestAdoptedStandInSaysWhy: who has the slot is said again by a vipd that found it so.
func TestAdoptedStandInSaysWhy(t *testing.T) {
	o := loader.Options{Dir: kerneltest.TestDir()}
	s := newSettling(t, "loader-why", o, func(ifindex int) { occupy(t, ifindex, "somebody", link.XDPGenericMode) })
	if err := s.d.Close(); err != nil {
		t.Fatal(err)
	}
	s.open(o, attach.ModeGeneric)
	if got := s.repair("adopted"); !strings.Contains(got.Note, "somebody") {
		t.Errorf("%+v", got)
	}
	s.whole("said")
}

// TestAhead: a program that is put before ours on tcx is named for as long as it is there.
func TestAhead(t *testing.T) {
	kerneltest.RequireTCX(t)
	s := newSettling(
		t,
		"loader-ahead",
		loader.Options{},
		func(ifindex int) { occupy(t, ifindex, "somebody", link.XDPGenericMode) },
	)
	p := kerneltest.Must(ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, Name: "eager", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}, // TCX_PASS: the end
	}))
	defer p.Close()
	for hook, at := range map[string]ebpf.AttachType{
		attach.HookIngress: ebpf.AttachTCXIngress,
		attach.HookEgress:  ebpf.AttachTCXEgress,
	} {
		behind := kerneltest.Must(
			link.AttachTCX(link.TCXOptions{Interface: s.index, Program: p, Attach: at, Anchor: link.Tail()}),
		)
		s.whole(hook + ", behind ours")
		s.works(hook + ", behind ours")
		if err := behind.Close(); err != nil {
			t.Fatal(err)
		}
		l := kerneltest.Must(link.AttachTCX(link.TCXOptions{Interface: s.index, Program: p, Attach: at, Anchor: link.Head()}))
		got := s.repair(hook + ", before ours")
		if !strings.Contains(got.Note, "eager") || !strings.Contains(got.Note, "tcx "+hook) ||
			!strings.Contains(got.Note, "somebody") {
			t.Errorf("%s: %+v", hook, got)
		}
		s.whole(hook + ", said")
		if hook == attach.HookIngress { // as the note says
			before := kerneltest.Must(s.g.Stats()).Received
			s.heard++
			s.far.Send(model.FrameOf(model.Advert(1, 200, 0, s.heard)))
			time.Sleep(100 * time.Millisecond)
			if kerneltest.Must(s.g.Stats()).Received != before {
				t.Error("the program behind one that ends the chain has heard an advert")
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := s.repair(hook + ", gone"); strings.Contains(got.Note, "eager") {
			t.Errorf("%s, gone: %+v", hook, got)
		}
		s.works(hook + ", gone")
	}
}

// TestSecondFence: another vipd's egress program, such as one that a killed vipd with another bpf_dir left, drops the
// adverts of this one.
func TestSecondFence(t *testing.T) {
	kerneltest.RequireTCX(t)
	s := newSettling(t, "loader-second", loader.Options{}, func(int) {})
	p := kerneltest.Must(ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, Name: "vipd_egress", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()}, // TCX_NEXT
	}))
	defer p.Close()
	theirs := kerneltest.Must(link.AttachTCX(link.TCXOptions{
		Interface: s.index, Program: p, Attach: ebpf.AttachTCXEgress, Anchor: link.Tail(),
	}))
	if got := s.repair("with another"); !strings.Contains(got.Note, "of another vipd is on tcx egress") ||
		!strings.Contains(got.Note, "vipd_egress") {
		t.Errorf("%+v", got)
	}
	s.whole("said")
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.repair("alone"); strings.Contains(got.Note, "another vipd") {
		t.Errorf("%+v", got)
	}
}
