// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/wire"
	"vipd/loader"
)

const second = int64(time.Second)

// bench is a recorder whose clock is moved by hand, on a tap that is filled by hand.
type bench struct {
	*Recorder
	t       *testing.T
	now     atomic.Int64
	pending []loader.Sample
	lent    [][]byte // Data of the samples of the last DrainTap
	lost    uint64
	slots   map[string]uint32
	planes  map[string]*fakePlane
}

type fakePlane struct {
	capture bool
	missed  uint64
}

func (p *fakePlane) SetCapture(on bool) error { p.capture = on; return nil }

func (p *fakePlane) TapStats() (loader.TapStats, error) {
	return loader.TapStats{Skipped: p.missed}, nil
}

func (b *bench) DrainTap(dst []loader.Sample) ([]loader.Sample, uint64, error) {
	for _, data := range b.lent { // it was good until now
		for i := range data {
			data[i] = 0xff
		}
	}
	b.lent = nil
	for _, s := range b.pending {
		s.Data = slices.Clone(s.Data)
		b.lent = append(b.lent, s.Data)
		dst = append(dst, s)
	}
	b.pending = nil
	return dst, b.lost, nil
}

func newBench(t *testing.T, o Options, groups ...string) *bench {
	t.Helper()
	b := &bench{t: t, slots: map[string]uint32{}, planes: map[string]*fakePlane{}}
	b.now.Store(1000 * second)
	o.Node, o.Version = "fw1", "1.2.3"
	o.Boot = func() int64 { return b.now.Load() }
	o.Wall = func() time.Time { return time.Unix(1700000000, b.now.Load()) }
	b.Recorder = New(o)
	for i, name := range groups {
		b.slots[name], b.planes[name] = uint32(i), &fakePlane{}
		ifname, _, _ := strings.Cut(name, "@")
		b.Bind(name, ifname, api.StateBackup, uint32(i), b.planes[name])
	}
	b.step(0)
	return b
}

// step lets time pass and the recorder take in what came.
func (b *bench) step(after time.Duration) {
	b.now.Add(int64(after))
	b.tick(b)
}

// frame is an advert of somebody, as the tap tells it now.
func (b *bench) sample(group string, kind loader.SampleKind, reason string, data []byte) loader.Sample {
	b.now.Add(int64(time.Millisecond))
	s := loader.Sample{At: b.now.Load(), Slot: b.slots[group], Kind: kind, Reason: reason, Length: len(data), Data: data}
	b.pending = append(b.pending, s)
	return s
}

func (b *bench) transition(group, from, to, reason string, causeAt int64) {
	b.now.Add(int64(time.Millisecond))
	b.Transition(b.now.Load(), causeAt, api.Transition{Group: group, From: from, To: to, Reason: reason})
}

func (b *bench) incident(id uint64) api.Incident {
	b.t.Helper()
	in, ok := b.Incident(id)
	if !ok {
		b.t.Fatalf("no incident %d; there are %+v", id, b.Incidents())
	}
	return in
}

func advertFrame(skew uint8) []byte {
	f := wire.AdvertFrame{
		SrcMAC: wire.VirtualMAC(1), DstMAC: wire.MulticastMAC(wire.MulticastV4), Src: netip.MustParseAddr("192.0.2.12"),
		Dst: wire.MulticastV4, TTL: 255, Advert: wire.Advert{VHID: 1, AdvBase: 1, AdvSkew: skew, AuthLen: 7, Counter: 0xabc},
	}
	if skew == 255 {
		f.Advert.AdvBase = 255
	}
	b, err := f.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

func kinds(in *api.Incident) string {
	var out []string
	for i := range in.Records {
		r := &in.Records[i]
		word := r.Kind
		if r.Reason != "" {
			word += ":" + r.Reason
		}
		if r.Cause {
			word += "!"
		}
		out = append(out, word+"/"+r.State)
	}
	return strings.Join(out, " ")
}

// TestIncident: what came before, the cause with its lag, and what follows for two
// seconds; the states are those of the time.
func TestIncident(t *testing.T) {
	b := newBench(t, Options{}, "eth0@1", "eth0@2")
	b.sample("eth0@1", loader.SampleARPRequest, "", nil)
	b.sample("eth0@2", loader.SampleARPRequest, "", nil)
	b.sample("eth0@1", loader.SampleRejected, "bad_hmac", advertFrame(3))
	b.transition("eth0@1", api.StateBackup, api.StateMaster, "master_timeout", 0)
	b.step(5 * time.Second)
	b.sample("eth0@1", loader.SampleAdvertSent, "", advertFrame(100))
	cause := b.sample("eth0@1", loader.SampleAuthentic, "", advertFrame(0))
	b.Heard("eth0@1", cause.At, 1500)
	b.transition("eth0@1", api.StateMaster, api.StateBackup, "better_advert", cause.At)
	b.step(time.Second)
	b.sample("eth0@1", loader.SampleAuthentic, "", advertFrame(0))
	b.step(time.Second)
	b.sample("eth0@1", loader.SampleAuthentic, "", advertFrame(0)) // too late
	b.step(time.Second)

	in := b.incident(2)
	want := "arp_request/BACKUP rejected:bad_hmac/BACKUP transition/MASTER advert_sent/MASTER authentic!/MASTER " +
		"transition/BACKUP authentic/BACKUP"
	if got := kinds(&in); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if in.From != api.StateMaster || in.To != api.StateBackup || in.Reason != "better_advert" || in.Node != "fw1" ||
		in.Open ||
		in.Frames != 5 ||
		in.Transitions != 1 {
		t.Errorf("%+v", in)
	}
	rec := in.Records[4]
	if !rec.Time.Equal(time.Unix(1700000000, cause.At)) || rec.LagSeconds == nil || *rec.LagSeconds != 1.5e-6 ||
		rec.Interface != "eth0" ||
		rec.Direction != "in" {
		t.Errorf("cause: %+v", rec)
	}
	if rec.Text != "advert of 192.0.2.12: advbase 1, advskew 0, demote 0, plain counter 0000000000000abc" ||
		rec.Advert.Source != "192.0.2.12" ||
		rec.Advert.Counter != "0000000000000abc" {
		t.Errorf("cause: %q %+v", rec.Text, rec.Advert)
	}
	first := b.incident(1)
	if got, want := kinds(&first), "arp_request/BACKUP rejected:bad_hmac/BACKUP transition/MASTER"; got != want {
		t.Errorf("first: %s, want %s", got, want)
	}
	if _, ok := b.Incident(3); ok {
		t.Error("an incident that nobody began")
	}
}

// TestFramesStayAsTheyCame: what an incident or a capture has of a frame is not overwritten by later ones, neither in
// the buffer of the data plane nor in that of the ring.
func TestFramesStayAsTheyCame(t *testing.T) {
	b := newBench(t, Options{Memory: 2 * 16 * entryCost}, "eth0@1") // eight adverts
	c, err := b.Capture("eth0@1")
	if err != nil {
		t.Fatal(err)
	}
	advert := func(skew uint8) {
		b.sample("eth0@1", loader.SampleAuthentic, "", advertFrame(skew))
		b.step(0)
	}
	for skew := range uint8(12) {
		advert(skew)
	}
	b.transition("eth0@1", api.StateMaster, api.StateBackup, "better_advert", 0)
	b.step(0)
	for skew := uint8(12); skew < 40; skew++ {
		advert(skew)
	}
	c.Close()
	skews := func(all []api.Record) (out []int) {
		for i := range all {
			if f := all[i].Frame; f != nil {
				if !bytes.Equal(f, advertFrame(uint8(all[i].Advert.AdvSkew))) {
					t.Errorf("frame %x of an advert with advskew %d", f, all[i].Advert.AdvSkew)
				}
				out = append(out, all[i].Advert.AdvSkew)
			}
		}
		return out
	}
	var captured []api.Record
	for line := range c.Lines() {
		if line.Record != nil {
			captured = append(captured, *line.Record)
		}
	}
	in := b.incident(1)
	for what, got := range map[string][]int{"incident": skews(in.Records), "capture": skews(captured)} {
		for i := range got {
			if got[i] != got[0]+i {
				t.Fatalf("%s: advskews %v, want them to rise by one", what, got)
			}
		}
		if want := map[string]int{"incident": 8 + 28, "capture": 40}[what]; len(got) != want {
			t.Errorf("%s: %d frames, want %d: %v", what, len(got), want, got)
		}
	}
}

// TestLagAfterTheFreeze: the note that the advert was heard may come after the transition.
func TestLagAfterTheFreeze(t *testing.T) {
	b := newBench(t, Options{}, "eth0@1")
	cause := b.sample("eth0@1", loader.SampleAuthentic, "", advertFrame(0))
	b.transition("eth0@1", api.StateMaster, api.StateBackup, "better_advert", cause.At)
	b.Heard("eth0@1", cause.At, 2000)
	b.step(0)
	in := b.incident(1)
	if !in.Open || in.Records[0].LagSeconds == nil || *in.Records[0].LagSeconds != 2e-6 {
		t.Errorf("%+v", in)
	}
}

// TestPace: a group that flaps, and a node whose groups all change at once, do not push
// out what others left; what was skipped is counted.
func TestPace(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("eth0@%d", i+1))
	}
	b := newBench(t, Options{Incidents: 50}, names...)
	for range 100 {
		b.transition("eth0@1", api.StateBackup, api.StateMaster, "master_timeout", 0)
		b.transition("eth0@1", api.StateMaster, api.StateBackup, "better_advert", 0)
		b.step(50 * time.Millisecond)
	}
	list := b.Incidents()
	if n := len(list.Incidents); n != 6 || list.Skipped != 200-6 { // in less than it takes to earn a seventh
		t.Errorf("%d incidents, %d skipped", n, list.Skipped)
	}
	last := list.Incidents[len(list.Incidents)-1]
	if last.Transitions < 5 {
		t.Errorf("those that were skipped are not in the one that was open: %+v", last)
	}
	b.step(time.Hour)
	for _, name := range names {
		b.transition(name, api.StateMaster, api.StateInit, "link_down", 0)
	}
	b.step(time.Second)
	if n := len(b.Incidents().Incidents) - 6; n != 24 {
		t.Errorf("%d incidents of a node that lost its link, want the burst of 24", n)
	}
	b.step(time.Hour)
	for i := range 100 {
		b.transition("eth0@7", api.StateInit, api.StateBackup, "link_up", 0)
		b.step(time.Minute)
		if n := len(b.Incidents().Incidents); n > 50 {
			t.Fatalf("%d incidents after %d", n, i)
		}
	}
	ids := b.Incidents().Incidents
	if ids[len(ids)-1].ID-ids[0].ID != 49 {
		t.Errorf("kept %d to %d", ids[0].ID, ids[len(ids)-1].ID)
	}
}

// TestMemory: whatever comes, the entries stay within what was granted.
func TestMemory(t *testing.T) {
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("eth%d@%d", i/100, i%100+1))
	}
	const granted = 4 << 20
	b := newBench(t, Options{Memory: granted}, names...)
	for range 30 {
		for _, name := range names {
			for _, reason := range loader.RejectReasons() {
				b.sample(name, loader.SampleRejected, reason, advertFrame(1))
			}
			for range 5 {
				b.sample(name, loader.SampleAuthentic, "", advertFrame(1))
				b.sample(name, loader.SampleARPReply, "", make([]byte, 60))
			}
			b.transition(name, api.StateMaster, api.StateBackup, "better_advert", 0)
		}
		b.step(30 * time.Second)
	}
	entries := 0
	for _, g := range b.groups {
		entries += len(g.adverts.entries) + len(g.neighbours.entries) + len(g.rejects.entries) + len(g.states.entries)
		if len(g.adverts.entries) == 0 || len(g.rejects.entries) == 0 {
			t.Errorf("%s has nothing", g.name)
		}
	}
	if entries*entryCost > granted/2 {
		t.Errorf("%d entries going by cost more than half of %d bytes", entries, granted)
	}
	for _, in := range b.incidents {
		entries += len(in.Entries)
	}
	if entries*entryCost > granted {
		t.Errorf("%d entries cost more than %d bytes", entries, granted)
	}
	if len(b.incidents) == 0 {
		t.Error("no incident is kept")
	}
}

// TestRejects: a flood of one reason leaves the others where they can be seen.
func TestRejects(t *testing.T) {
	b := newBench(t, Options{Memory: 1 << 20}, "eth0@1", "eth0@2")
	hmac := b.sample("eth0@1", loader.SampleRejected, "bad_hmac", advertFrame(9))
	vrrp := b.sample("eth0@1", loader.SampleForeignVRRP, "", nil)
	garp := b.sample("eth0@1", loader.SampleARPGratuitous, "", nil)
	question := b.sample("eth0@1", loader.SampleARPRequest, "", advertFrame(9))
	b.sample("eth0@1", loader.SampleARPReply, "", nil)
	for range 5000 {
		b.sample("eth0@1", loader.SampleRejected, "bad_ttl", nil)
	}
	b.step(0)
	got := b.Rejects("eth0@1")
	if got[0].Reason != "bad_hmac" || got[0].At != hmac.At || string(got[0].Data) != string(hmac.Data) ||
		got[1].At != vrrp.At {
		t.Errorf("the oldest are %+v", got[:2])
	}
	if last := got[len(got)-1]; last.At != b.now.Load() || last.Reason != "bad_ttl" {
		t.Errorf("the newest is %+v", last)
	}
	if a := b.neighbours("eth0@1", loader.SampleARPGratuitous); len(a) != 1 || a[0].At != garp.At {
		t.Errorf("announcements %+v", a)
	}
	if q := b.Questions("eth0@1"); len(q) != 1 || q[0].At != question.At || string(q[0].Data) != string(question.Data) {
		t.Errorf("questions %+v", q)
	}
	if got := append(b.Questions("eth9@9"), b.Rejects("eth9@9")...); len(got) != 0 {
		t.Errorf("of others: %+v", got)
	}
}

// TestForget: a group that goes and comes back at once has its memory still; one that
// goes for good has not, and its incidents stay.
func TestForget(t *testing.T) {
	b := newBench(t, Options{}, "eth0@1")
	b.sample("eth0@1", loader.SampleRejected, "bad_hmac", nil)
	b.transition("eth0@1", api.StateBackup, api.StateInit, "config_changed", 0)
	b.step(0)
	b.Forget("eth0@1")
	b.Bind("eth0@1", "eth0", api.StateInit, 5, &fakePlane{})
	b.step(0)
	if len(b.Rejects("eth0@1")) != 1 {
		t.Error("what came back has lost its memory")
	}
	b.slots["eth0@1"] = 5
	b.sample("eth0@1", loader.SampleRejected, "bad_hmac", nil)
	b.step(0)
	if len(b.Rejects("eth0@1")) != 2 {
		t.Error("nothing is recorded from the new place")
	}
	b.Forget("eth0@1")
	b.step(0)
	if len(b.Rejects("eth0@1")) != 0 || len(b.Incidents().Incidents) != 1 || b.Incidents().Incidents[0].Open {
		t.Errorf("after it went: %+v", b.Incidents())
	}
}

// TestStore: incidents outlive the daemon, also the one that was open; damaged files
// cost themselves alone, and no more are kept than wanted.
func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "incidents")
	run := func(fill func(b *bench)) *bench {
		b := newBench(t, Options{Dir: dir, Incidents: 5}, "eth0@1")
		saved := b.store.start()
		b.load()
		fill(b)
		b.closeAll()
		b.store.stop()
		<-saved
		if why := b.Incidents().Unsaved; why != "" {
			t.Error(why)
		}
		return b
	}
	before := run(func(b *bench) {
		for range 8 {
			b.sample("eth0@1", loader.SampleAuthentic, "", advertFrame(7))
			b.transition("eth0@1", api.StateBackup, api.StateMaster, "master_timeout", 0)
			b.step(time.Minute)
		}
		b.transition("eth0@1", api.StateMaster, api.StateInit, "stop", 0)
		b.step(0)
	})
	if err := os.WriteFile(filepath.Join(dir, "7.json"), []byte(`{"id":7,"entries":[{"at":"x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{".": 0o700 | os.ModeDir, "6.json": 0o600} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode() != mode {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	after := run(func(b *bench) {
		b.transition("eth0@1", api.StateInit, api.StateBackup, "startup", 0)
		b.step(time.Minute)
	})
	var ids []uint64
	for _, in := range after.Incidents().Incidents {
		ids = append(ids, in.ID)
	}
	if fmt.Sprint(ids) != "[5 6 8 9 10]" {
		t.Errorf("kept %v", ids)
	}
	was, is := before.incident(6), after.incident(6)
	if kinds(&was) != kinds(&is) || !was.Time.Equal(is.Time) || was.Records[0].Text != is.Records[0].Text ||
		string(was.Records[0].Frame) != string(is.Records[0].Frame) {
		t.Errorf("was %+v\nis  %+v", was, is)
	}
	if in := after.incident(9); in.Reason != "stop" || in.Open {
		t.Errorf("the one that was open at the end: %+v", in)
	}
}

// TestStoreFails: a disk that does not work is told, and costs nothing else.
func TestStoreFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, Options{Dir: filepath.Join(file, "incidents")}, "eth0@1")
	saved := b.store.start()
	b.load()
	b.transition("eth0@1", api.StateBackup, api.StateMaster, "master_timeout", 0)
	b.step(time.Minute)
	b.store.stop()
	<-saved
	if list := b.Incidents(); len(list.Incidents) != 1 || list.Unsaved == "" {
		t.Errorf("%+v", list)
	}
}

// TestStoreTakesManyIncidentsAtOnce: groups that change at once do not look like a slow disk, and each incident that
// is kept is saved.
func TestStoreTakesManyIncidentsAtOnce(t *testing.T) {
	for _, kept := range []int{64, 5} {
		dir := filepath.Join(t.TempDir(), "incidents")
		names := make([]string, 40)
		for i := range names {
			names[i] = fmt.Sprintf("eth0@%d", i+1)
		}
		b := newBench(t, Options{Dir: dir, Incidents: kept}, names...)
		b.load()
		for _, name := range names {
			b.transition(name, api.StateBackup, api.StateMaster, "master_timeout", 0)
		}
		b.step(time.Minute) // all of them end at once, before the writer runs
		if why := b.Incidents().Unsaved; why != "" {
			t.Error(why)
		}
		if n := len(b.store.waiting); n > kept {
			t.Errorf("%d incidents wait for the disk, %d are kept", n, kept)
		}
		saved := b.store.start()
		b.store.stop()
		<-saved
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if list := b.Incidents().Incidents; len(files) != len(list) || len(list) != min(24, kept) {
			t.Errorf("%d incidents, %d of them saved", len(list), len(files))
		}
	}
}

// TestStoreNamesASlowDisk: a write that does not end is reported, and the fault ends with the write.
func TestStoreNamesASlowDisk(t *testing.T) {
	b := newBench(t, Options{Dir: t.TempDir()}, "eth0@1")
	b.store.writing = b.opts.Boot() - slowDisk/2
	if why := b.Incidents().Unsaved; why != "" {
		t.Error(why)
	}
	b.store.writing = b.opts.Boot() - 2*slowDisk
	if why := b.Incidents().Unsaved; !strings.Contains(why, "too slow") {
		t.Errorf("a write that hangs: %q", why)
	}
	b.store.wrote(nil)
	if why := b.Incidents().Unsaved; why != "" {
		t.Error(why)
	}
}
