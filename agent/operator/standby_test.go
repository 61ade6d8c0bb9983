// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"vipd/agent/clock"
	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/peers"
	"vipd/agent/view"
	"vipd/agent/wire"
)

const testNow = election.Instant(time.Hour)

var fw2 = netip.MustParseAddr("192.0.2.12")

func instant(election.Instant) time.Time { return time.Time{} }

// pair is a node that has been MASTER of a group for a minute, and its standby fw2, as it reports.
func pair() (*view.Node, *view.Group) {
	n := &view.Node{Config: &config.Config{}, Enabled: true}
	n.Config.Node.Name = "fw1"
	g := &view.Group{
		Config: &config.Group{
			Interface: "eth0", VHID: 1, AdvBase: 1, Password: config.NewSecret([]byte("secret")),
			Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.100/24")},
		},
		Preempt: true,
	}
	g.Machine.State, g.Machine.Since = election.Master, testNow.Add(-time.Minute)
	g.Machine.Effective = election.Priority{AdvBase: 1}
	g.Fingerprints = peers.ConstantOf(g.Config, 7).Fingerprints
	h := peers.Self(n, g)
	h.Node, h.State, h.TakesOverIn = "fw2", wire.HelloBackup, 3390625*time.Microsecond
	h.AdvSkew, h.EffectiveAdvSkew = 100, 100
	g.HasPeer = true
	g.Peers = []view.Peer{view.NewPeer(fw2, [6]byte{2}, testNow.Add(-time.Second), h, &view.Voice{})}
	return n, g
}

func hears(g *view.Group, from netip.Addr) {
	g.Machine.Heard = true
	g.Machine.Master = election.Advert{Src: from, Priority: election.Priority{AdvBase: 1, AdvSkew: 100}}
}

// What is known of standbys, and what is not: a BSD is silent as BACKUP, and a new MASTER has had no report yet.
func TestStandbys(t *testing.T) {
	t.Parallel()
	other := netip.MustParseAddr("192.0.2.99")
	for _, tt := range []struct {
		name    string
		change  func(*view.Group)
		label   string
		unknown string
		counted bool
	}{
		{"a standby", func(*view.Group) {}, "fw2 1/100", "", true},
		{"it fell silent", func(g *view.Group) { g.Peers[0].HeardAgain(testNow.Add(-view.PeerFresh)) }, "", "", true},
		{"it is disabled", func(g *view.Group) { g.Peers[0].Hello.Disabled = true }, "", "", true},
		{"it is in INIT", func(g *view.Group) { g.Peers[0].Hello.State = wire.HelloInit }, "", "", true},
		{"a single node", func(g *view.Group) { g.Peers, g.HasPeer = nil, false }, "", "", false},
		{"the peer is gone for hours", func(g *view.Group) { g.Peers = nil }, "", "", true},
		{
			"MASTER since a second",
			func(g *view.Group) {
				g.Peers[0].Hello.State, g.Machine.Since = wire.HelloMaster, testNow.Add(-time.Second)
			},
			"", "no node has reported yet", false,
		},
		{
			"a BSD was heard",
			func(g *view.Group) { g.Peers = nil; hears(g, other) },
			"", "192.0.2.99 is no vipd", false,
		},
		{"a BSD was heard beside a standby", func(g *view.Group) { hears(g, other) }, "fw2 1/100", "", true},
		{
			"the vipd that was heard is silent",
			func(g *view.Group) { hears(g, fw2); g.Peers[0].HeardAgain(testNow.Add(-time.Minute)) },
			"", "", true,
		},
		{
			"BACKUP of a BSD",
			func(g *view.Group) { g.Peers, g.Machine.State = nil, election.Backup; hears(g, other) },
			"", "the master is no vipd", false,
		},
		{
			"BACKUP of a vipd",
			func(g *view.Group) { g.MasterProven, g.Machine.State = true, election.Backup; hears(g, other) },
			"", "", false,
		},
		{
			"no address of its own",
			func(g *view.Group) { g.Peers, g.NoAddress = nil, true },
			"", "this node cannot exchange hellos without an address of its own", false,
		},
		{
			"BACKUP without an address of its own",
			func(g *view.Group) {
				g.Peers, g.NoAddress, g.Machine.State = nil, true, election.Backup
				hears(g, other)
			},
			"", "this node cannot exchange hellos without an address of its own", false,
		},
		{"INIT without one", func(g *view.Group) {
			g.Peers, g.NoAddress, g.Machine.State = nil, true, election.Init
		}, "", "", false},
		{"BACKUP of no node", func(g *view.Group) { g.Peers, g.Machine.State = nil, election.Backup }, "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, g := pair()
			tt.change(g)
			list, unknown := standbysOf(g, testNow, instant)
			label := ""
			if len(list) > 0 {
				label = list[0].Label()
			}
			n, counted := standbyCount(g, testNow)
			if label != tt.label || unknown != tt.unknown || counted != tt.counted || n != len(list) {
				t.Errorf("%q, unknown %q, counted %v as %d", label, unknown, counted, n)
			}
		})
	}
}

func TestWhySaysWhoTakesOver(t *testing.T) {
	t.Parallel()
	n, g := pair()
	w := &why{n: n, g: g, now: testNow, at: instant}
	if got, want := w.successor(), "fw2 (192.0.2.12, 1/100) would take over 3.391 s after this node's last advert, "+
		"or at its goodbye"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for i, addr := range []string{"192.0.2.13", "192.0.2.14", "192.0.2.15", "192.0.2.16"} {
		p := g.Peers[0]
		p.Addr, p.Hello.Node = netip.MustParseAddr(addr), "fw"+addr[len(addr)-1:]
		p.Hello.TakesOverIn += time.Duration(i+1) * time.Second
		g.Peers = append(g.Peers, p)
	}
	const rest = "; if that one fails, fw4 (192.0.2.14, 1/100) after 5.391 s, and 2 more"
	if got := w.successor(); !strings.HasSuffix(got, rest) {
		t.Errorf("%q", got)
	}
	g.Peers = nil
	if got := w.successor(); !strings.HasPrefix(got, "no node would take over") {
		t.Errorf("%q", got)
	}
	hears(g, fw2)
	if got := w.successor(); !strings.HasPrefix(got, "who would take over is unknown, since 192.0.2.12 is no vipd; ") {
		t.Errorf("%q", got)
	}
}

func TestPeersListsEveryNodeHeard(t *testing.T) {
	t.Parallel()
	n, g := pair()
	g.Peers[0].Hello.Preempt = false
	second := *g
	long := testNow.Add(-time.Minute)
	second.Peers = []view.Peer{view.NewPeer(fw2, [6]byte{2}, long, g.Peers[0].Hello, &view.Voice{})}
	cfg := *g.Config
	cfg.VHID, second.Config = 2, &cfg
	hears(&second, netip.MustParseAddr("192.0.2.99"))
	for name, v := range map[string]*view.Group{"eth0@1": g, "eth0@2": &second} {
		p := view.NewPublisher(name)
		p.Publish(v)
		n.Groups = append(n.Groups, p.Live())
	}
	o := New(Options{
		Loop:  &silentLoop{node: n},
		Clock: clock.Of(func() int64 { return int64(testNow) }, func() time.Time { return time.Unix(1e9, 0) }),
	})
	got, err := o.Peers(t.Context())
	if err != nil || got.Node != "fw1" || len(got.Peers) != 2 {
		t.Fatalf("%v, %+v", err, got)
	}
	vipd, bsd := got.Peers[0], got.Peers[1]
	if vipd.Node != "fw2" || !vipd.Vipd || vipd.Version != api.Version || len(vipd.Groups) != 2 ||
		!vipd.LastSeen.Equal(time.Unix(1e9, 0).Add(-time.Second)) {
		t.Errorf("%+v", vipd)
	}
	for _, pg := range vipd.Groups {
		if pg.Current != (pg.Group == "eth0@1") || len(pg.Differences) != 1 || pg.Differences[0].Code != api.DiffersPreempt ||
			*pg.TakesOverIn != 3.390625 {
			t.Errorf("%+v", pg)
		}
	}
	if bsd.Node != "" || bsd.Vipd || len(bsd.Groups) != 1 || bsd.Groups[0].State != api.StateMaster ||
		bsd.Groups[0].Hello {
		t.Errorf("%+v", bsd)
	}
	if d := differencesOf(n, g, testNow); len(d) != 1 || d[0].Code != api.DiffersPreempt {
		t.Errorf("differences %+v", d)
	}
	if d := differencesOf(n, &second, testNow); d != nil {
		t.Errorf("a silent node differs: %+v", d)
	}
	seen := peersSeen(editionsOf(n.Groups), testNow)
	if len(seen) != 1 || seen[0].Age != time.Second || len(seen[0].Homes) != 1 {
		t.Errorf("metrics %+v", seen)
	}
}
