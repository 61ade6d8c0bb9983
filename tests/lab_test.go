// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"

	"github.com/google/go-cmp/cmp"
)

// What the other tests take for granted about the lab itself, proved with components that are not ours.

// TestLabSeesUCARPFailOver: the pinger measures the known gap of ucarp, the sniffer sees who speaks, and killing a
// process leaves its address behind, which is the fault vipd is to cure.
func TestLabSeesUCARPFailOver(t *testing.T) {
	require(t, needNetNS, needUCARP)
	t.Parallel()
	l := lab.New(t)
	segment := l.NewSegment("lan")
	a, b, client := l.NewHost("a"), l.NewHost("b"), l.NewHost("client")
	portA := segment.Join(a, "eth0", "192.0.2.11/24")
	segment.Join(b, "eth0", "192.0.2.12/24")
	segment.Join(client, "eth0", "192.0.2.50/24")
	vip := netip.MustParseAddr("192.0.2.100")
	sniffer := portA.Sniff()

	first := a.StartUCARP(lab.UCARP{SrcIP: "192.0.2.11", VIP: vip.String()})
	l.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		return lab.UCARPState(first) == lab.Master, "first ucarp is MASTER: " + first.Output()
	})
	second := b.StartUCARP(lab.UCARP{SrcIP: "192.0.2.12", VIP: vip.String(), AdvSkew: 50})
	pinger := client.Ping(vip, 2*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	sniffer.Await(patience, "an advert of the first ucarp", func(f lab.Frame) bool {
		ad, ok := f.Advert()
		return ok && f.FromHost && ad.VHID == 1 && ad.TTL == 255
	})
	time.Sleep(time.Second) // the second has heard the first

	killed := first.Kill9()
	l.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		return lab.UCARPState(second) == lab.Master, "second ucarp is MASTER: " + second.Output()
	})
	sniffer.Await(patience, "an advert of the second ucarp reaches the first host", func(f lab.Frame) bool {
		ad, ok := f.Advert()
		return ok && !f.FromHost && f.At.After(killed) && ad.Src == netip.MustParseAddr("192.0.2.12")
	})
	if !a.HasAddress("eth0", vip) {
		t.Error("ucarp killed outright no longer leaves its address behind: the test of the two-owner fault proves nothing")
	}
	t.Logf("client during ucarp's failover: %v", pinger.Stop())
}

// TestLabMeasuresGaps: a cable pulled for half a second is a gap of half a second.
func TestLabMeasuresGaps(t *testing.T) {
	require(t, needNetNS)
	l := lab.New(t)
	segment := l.NewSegment("lan")
	a, client := l.NewHost("a"), l.NewHost("client")
	port := segment.Join(a, "eth0", "192.0.2.11/24")
	segment.Join(client, "eth0", "192.0.2.50/24")
	pinger := client.Ping(netip.MustParseAddr("192.0.2.11"), 2*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	time.Sleep(200 * time.Millisecond)
	pulled := time.Now()
	port.SetConnected(false)
	time.Sleep(500 * time.Millisecond)
	port.SetConnected(true)
	out := time.Since(pulled) // longer on a busy machine
	pinger.AwaitAnswer(time.Now(), patience)
	r := pinger.Stop()
	if r.Gap < 490*time.Millisecond || r.Gap > out+200*time.Millisecond+r.Allowance() || r.Lost < 100 {
		t.Errorf("cable pulled for %v: %v", out, r)
	}
	t.Log(r)
}

// TestLabSnapshotSeesChanges: a snapshot tells an address, a route and a hardware filter that came from one that did
// not.
func TestLabSnapshotSeesChanges(t *testing.T) {
	require(t, needNetNS)
	t.Parallel()
	l := lab.New(t)
	segment := l.NewSegment("lan")
	a := l.NewHost("a")
	segment.Join(a, "eth0", "192.0.2.11/24")
	before := a.Snapshot()
	a.AddAddress("eth0", "198.51.100.1/24")
	a.MustRun(toolTimeout, "bridge", "fdb", "add", "00:00:5e:00:01:01", "dev", "eth0", "self")
	a.MustRun(toolTimeout, "ip", "maddress", "add", "01:00:5e:00:00:12", "dev", "eth0")
	during := a.Snapshot()
	if len(during.Addresses) != len(before.Addresses)+1 || len(during.Routes) <= len(before.Routes) ||
		!cmp.Equal(during.Filters, []string{"eth0 00:00:5e:00:01:01"}) || len(during.Groups) != len(before.Groups)+1 {
		t.Errorf("changes not seen:\n%s", cmp.Diff(before, during))
	}
	a.DelAddress("eth0", "198.51.100.1/24")
	a.MustRun(toolTimeout, "bridge", "fdb", "del", "00:00:5e:00:01:01", "dev", "eth0", "self")
	a.MustRun(toolTimeout, "ip", "maddress", "del", "01:00:5e:00:00:12", "dev", "eth0")
	if diff := cmp.Diff(before, a.Snapshot()); diff != "" {
		t.Errorf("not as before:\n%s", diff)
	}
}

// TestLabCleansUpAfterFailureAndPanic: whatever way a test ends, nothing of its lab is left.
func TestLabCleansUpAfterFailureAndPanic(t *testing.T) {
	require(t, needNetNS)
	t.Parallel()
	for _, how := range []string{"failure", "panic"} {
		fake := &fakeTB{TB: t}
		var name string
		var proc *lab.Proc
		func() {
			defer func() { _ = recover() }()
			defer fake.cleanup()
			l := lab.New(fake)
			name = l.Name()
			h := l.NewHost("a")
			l.NewSegment("lan").Join(h, "eth0", "192.0.2.11/24")
			proc = h.Spawn("sleep", "sleep", "60")
			if _, err := os.Stat("/run/netns/" + name + "-a"); err != nil {
				t.Errorf("namespace not made: %v", err)
			}
			if how == "panic" {
				panic("as a test might")
			}
			l.Fatalf("as a test might")
		}()
		if proc == nil || proc.Running() {
			t.Errorf("%s: process still runs", how)
		}
		entries, err := os.ReadDir("/run/netns")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), name) {
				t.Errorf("%s: namespace %s is left", how, e.Name())
			}
		}
	}
}

// fakeTB is a test that may fail without failing the test it is part of.
type fakeTB struct {
	lab.TB
	cleanups []func()
}

func (f *fakeTB) Name() string                   { return "fake" }
func (f *fakeTB) Failed() bool                   { return false }
func (f *fakeTB) Fatalf(string, ...any)          { panic("Fatalf") }
func (f *fakeTB) Cleanup(cleanup func())         { f.cleanups = append(f.cleanups, cleanup) }
func (f *fakeTB) Errorf(format string, a ...any) { f.Logf(format, a...) }

func (f *fakeTB) cleanup() {
	for _, cleanup := range slices.Backward(f.cleanups) {
		cleanup()
	}
}
