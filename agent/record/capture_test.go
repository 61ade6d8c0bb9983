// SPDX-License-Identifier: Apache-2.0

package record

import (
	"errors"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/loader"
)

func received(c *Capture) (out []api.CaptureLine) {
	for {
		select {
		case l, open := <-c.Lines():
			if !open {
				return out
			}
			out = append(out, l)
		default:
			return out
		}
	}
}

func TestCapture(t *testing.T) {
	b := newBench(t, Options{}, "eth0@1", "eth0@2")
	b.planes["eth0@1"].missed = 17 // before
	c, err := b.Capture("eth0@1")
	if err != nil {
		t.Fatal(err)
	}
	if c.Begin != (api.CaptureBegin{Node: "fw1", Version: "1.2.3", Group: "eth0@1", Interface: "eth0"}) {
		t.Errorf("%+v", c.Begin)
	}
	if !b.planes["eth0@1"].capture || b.planes["eth0@2"].capture || b.nap() != capturePeriod {
		t.Error("the budget is not lifted, or another's is")
	}
	b.sample("eth0@2", loader.SampleARPRequest, "", nil)
	heard := b.sample("eth0@1", loader.SampleAuthentic, "", advertFrame(0))
	b.Heard("eth0@1", heard.At, 1000)
	b.transition("eth0@1", api.StateBackup, api.StateMaster, "master_timeout", 0)
	b.sample("eth0@1", loader.SampleARPReply, "", nil)
	b.planes["eth0@1"].missed += 3
	b.step(0)
	got := received(c)
	if len(got) != 4 {
		t.Fatalf("%d lines: %+v", len(got), got)
	}
	for i, want := range []struct{ kind, state string }{
		{"authentic", api.StateBackup},
		{"transition", api.StateMaster},
		{"arp_reply", api.StateMaster},
	} {
		if r := got[i].Record; r == nil || r.Kind != want.kind || r.Kind != api.RecordTransition && r.State != want.state {
			t.Errorf("line %d: %+v, want %+v", i, got[i].Record, want)
		}
	}
	if l := got[0].Record.LagSeconds; l == nil || *l != 1e-6 {
		t.Errorf("lag %v", l)
	}
	if got[3].Lost == nil || *got[3].Lost != 3 {
		t.Errorf("lost: %+v", got[3])
	}
	// It moves along when the interface comes back under another slot.
	again := &fakePlane{missed: 2}
	b.Bind("eth0@1", "eth0", api.StateInit, 9, again)
	b.slots["eth0@1"] = 9
	b.step(0)
	b.sample("eth0@1", loader.SampleARPReply, "", nil)
	b.step(0)
	if got := received(c); !again.capture || len(got) != 2 || got[0].Lost == nil || *got[0].Lost != 5 ||
		got[1].Record == nil {
		t.Errorf("after it moved: %+v", got)
	}
	c.Close()
	c.Close()
	if again.capture || b.nap() != period {
		t.Error("the budget is lifted still")
	}
}

// TestCaptureSlow: who does not read loses lines, which are counted, and delays nobody.
func TestCaptureSlow(t *testing.T) {
	b := newBench(t, Options{}, "eth0@1")
	slow, err := b.Capture("eth0@1")
	if err != nil {
		t.Fatal(err)
	}
	quick, err := b.Capture("eth0@1")
	if err != nil {
		t.Fatal(err)
	}
	const rounds, each = 12, 1000
	got := 0
	for range rounds {
		for range each {
			b.sample("eth0@1", loader.SampleARPReply, "", nil)
		}
		b.step(0)
		got += len(received(quick))
	}
	if got != rounds*each {
		t.Errorf("who reads got %d of %d", got, rounds*each)
	}
	lines := received(slow)
	b.step(time.Second)
	lines = append(lines, received(slow)...)
	var lost uint64
	n := 0
	for _, l := range lines {
		if l.Record != nil {
			n++
		}
		if l.Lost != nil {
			lost = *l.Lost
		}
	}
	if n+int(lost) != rounds*each || lost == 0 {
		t.Errorf("%d received and %d lost of %d", n, lost, rounds*each)
	}
}

func TestCaptureLimits(t *testing.T) {
	b := newBench(t, Options{}, "eth0@1")
	if _, err := b.Capture("eth9@9"); !errors.Is(err, ErrNoGroup) {
		t.Error(err)
	}
	var all []*Capture
	for range MaxCaptures {
		c, err := b.Capture("eth0@1")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if _, err := b.Capture("eth0@1"); !errors.Is(err, ErrCaptures) {
		t.Error(err)
	}
	all[0].Close()
	c, err := b.Capture("eth0@1")
	if err != nil {
		t.Fatal(err)
	}
	b.Forget("eth0@1")
	b.step(0)
	if got := received(c); len(got) != 1 || got[0].End == "" {
		t.Errorf("the group went: %+v", got)
	}
	if b.captures != 0 {
		t.Errorf("%d captures are left", b.captures)
	}
	c.Close()
}
