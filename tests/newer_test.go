// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

const (
	newerVersion   = "99.1.0"
	bpfObject      = "../loader/object/bpf_bpfel.o"
	ingressObject  = "../loader/object/ingress_bpfel.o"
	versionSource  = "../agent/control/api/version.go"
	bpfInstruction = 8 // bytes
)

// A package upgrade within the lease: another vipd, with another version and other programs, takes over from the one
// that left, and after that the older one from it, killed. The pinned links get the new programs by one replacement
// each, and neither a client nor the other node notices.
func TestNewerBinaryWithinTheLeaseMovesNothing(t *testing.T) {
	t.Parallel()
	require(t, needGo)
	older, newer := realTime(t, bin(t)), realTime(t, buildNewer(t))
	p := newPair(t, oneVIP(0), oneVIP(10))
	asShipped(t, p.a, p.b)
	p.start()
	a, b, was := p.a.Group(group), p.b.Group(group), p.a.Status().Version
	other := p.portB.Sniff()
	pinger := p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	began := time.Now()
	for _, next := range []struct {
		bin, version string
		end          func()
	}{
		{newer, newerVersion, func() { leave(t, p.a) }},
		{older, was, func() { p.a.Kill9() }},
	} {
		before := attachedPrograms(t, p.a, "eth0")
		next.end()
		p.a.Replace(next.bin)
		p.a.Start()
		g := p.a.WaitAnswering(group, patience)
		if got := p.a.Status().Version; got != next.version || g.Generation != a.Generation {
			t.Errorf("version %q, generation %d; want %q and %d", got, g.Generation, next.version, a.Generation)
		}
		if n := transitions(p.a); n != 0 {
			t.Errorf("vipd %s made %v transitions", next.version, n)
		}
		after := attachedPrograms(t, p.a, "eth0")
		if len(after) != len(before) || len(after) == 0 {
			t.Errorf("links %v, before %v", after, before)
		}
		for name, now := range after {
			if old := before[name]; now.link != old.link || now.program == old.program || now.tag == old.tag {
				t.Errorf("vipd %s, %s: %+v, was %+v; want another program in the same link", next.version, name, now, old)
			}
		}
		if replies := p.clientPort.AnswersARP(addrClient, vip, 150*time.Millisecond); len(replies) != 1 {
			t.Errorf("vipd %s: %d answers for the VIP, want one:\n%v", next.version, len(replies), replies)
		}
		time.Sleep(1500 * time.Millisecond) // some adverts of the new process
	}
	if got := p.b.Group(group); got.State != lab.Backup || !sameTime(got.Since, b.Since) {
		t.Errorf("b is %s (%s) since %v, was BACKUP since %v", got.State, got.Reason, got.Since, b.Since)
	}
	r := pinger.Stop()
	t.Logf("client: %v", r)
	if r.Lost > 0 || r.Doubles > 0 {
		t.Errorf("client: %v", r)
	}
	if spoken := other.Frames().FromHost().After(began).Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("b spoke for the VIP:\n%v", spoken)
	}
	p.a.Stop()
	p.b.WaitAnswering(group, time.Second)
	assertPrograms(t, p.a.Host, false)
}

// attached is a program and the pinned link that holds it.
type attached struct {
	link    link.ID
	program ebpf.ProgramID
	tag     string // reports whether two programs have the same instructions
}

// attachedPrograms returns those of the node's pinned links on an interface, by the pins' names.
func attachedPrograms(t *testing.T, n *lab.Node, ifname string) map[string]attached {
	t.Helper()
	pins, err := filepath.Glob(filepath.Join(n.BPFDir(), "v*", fmt.Sprintf("link-%d-*", n.IfIndex(ifname))))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]attached)
	for _, pin := range pins {
		a, err := attachedProgram(pin)
		if err != nil {
			t.Fatalf("%s: %v", pin, err)
		}
		all[filepath.Base(pin)] = a
	}
	return all
}

func attachedProgram(pin string) (a attached, err error) {
	l, err := link.LoadPinnedLink(pin, nil)
	if err != nil {
		return a, err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return a, err
	}
	prog, err := ebpf.NewProgramFromID(info.Program)
	if err != nil {
		return a, err
	}
	defer prog.Close()
	what, err := prog.Info()
	if err != nil {
		return a, err
	}
	return attached{link: info.ID, program: info.Program, tag: what.Tag}, nil
}

// buildNewer returns a directory with a vipd of another version that has other programs, and the usual vipctl.
func buildNewer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	version, err := os.ReadFile(versionSource)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := bytes.Cut(version, []byte(`var Version = "`))
	_, tail, closed := bytes.Cut(rest, []byte(`"`))
	if !ok || !closed {
		t.Fatalf("%s does not say the version as this test expects it", versionSource)
	}
	replace := make(map[string]string)
	overlay := func(source string, content []byte) {
		path, err := filepath.Abs(source)
		if err != nil {
			t.Fatal(err)
		}
		replace[path] = filepath.Join(dir, filepath.Base(source))
		if err := os.WriteFile(replace[path], content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay(versionSource, fmt.Appendf(nil, "%svar Version = %q%s", head, newerVersion, tail))
	overlay(bpfObject, otherPrograms(t, bpfObject, "xdp.frags", "tc"))
	overlay(ingressObject, otherPrograms(t, ingressObject, "tc"))
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-overlay", file, "-o",
		filepath.Join(dir, "vipd"), "../cmd/vipd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build another vipd: %v\n%s", err, out)
	}
	if err := os.Symlink(filepath.Join(bin(t), "vipctl"), filepath.Join(dir, "vipctl")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// otherPrograms returns a BPF object with one instruction of the program in each section in another form that does the
// same: a constant that is not negative, moved to 64 bits of a register in the place of 32, which clears the rest. So
// the programs differ as those of two releases do, and no compiler for BPF is needed.
func otherPrograms(t *testing.T, path string, sections ...string) []byte {
	t.Helper()
	const mov32, mov64 = 0xb4, 0xb7
	object, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	changed := func(name string) bool {
		s := f.Section(name)
		if s == nil {
			return false
		}
		code := object[s.Offset : s.Offset+s.Size]
		for ; len(code) >= bpfInstruction; code = code[bpfInstruction:] {
			if code[0] == mov32 && int32(binary.LittleEndian.Uint32(code[4:])) >= 0 {
				code[0] = mov64
				return true
			}
		}
		return false
	}
	for _, name := range sections {
		if !changed(name) {
			t.Fatalf("%s: no instruction to change in section %s", strings.TrimPrefix(path, "../"), name)
		}
	}
	return object
}
