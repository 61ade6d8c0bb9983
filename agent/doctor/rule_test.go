// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vipd/agent/control/api"
	"vipd/agent/doctor"
)

func at(seconds float64) time.Time {
	return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

var (
	peerAddr  = netip.MustParseAddr("192.0.2.12")
	otherAddr = netip.MustParseAddr("192.0.2.13")
	vip       = netip.MustParseAddr("192.0.2.100")
	peerMAC   = [6]byte{2, 0, 0, 0, 0, 12}
	vmac      = [6]byte{0, 0, 0x5e, 0, 1, 1}
)

// master is a healthy node that has been MASTER of a group for 60 s and was watched for 3 s.
func master() *doctor.Facts {
	return &doctor.Facts{
		Time: at(0), Node: "fw1", Enabled: true, Preempt: true, Watched: 3 * time.Second,
		Groups: []doctor.Group{{
			Name: "eth0@1", Interface: "eth0", VHID: 1, Addresses: []netip.Addr{vip},
			Condition: doctor.Condition{
				State: api.StateMaster, Reason: "master_timeout", Since: at(-60), Answering: true,
				Interval: time.Second, Configured: time.Second,
			},
			Hearing: doctor.Hearing{RiseTime: 3 * time.Second, Rise: map[string]uint64{}},
			Host:    doctor.Host{Filter: &doctor.Filter{HasMAC: true}},
		}},
	}
}

// backup is a healthy node that hears its master, which answers with the virtual MAC.
func backup() *doctor.Facts {
	f := master()
	g := &f.Groups[0]
	g.State, g.Reason, g.Answering, g.Filter, g.Received = api.StateBackup, "better_advert", false, nil, 3
	g.Master = &doctor.Speaker{Address: peerAddr, MAC: vmac, AdvBase: 1, LastSeen: at(-0.5)}
	g.Answers = []doctor.Answer{{Address: vip, MAC: vmac}}
	return f
}

func asked(times ...float64) []doctor.Ask {
	var out []doctor.Ask
	for _, s := range times {
		out = append(out, doctor.Ask{At: at(s), MAC: peerMAC, Address: vip})
	}
	return out
}

func suspect(src netip.Addr, e doctor.Explanation) doctor.Suspect {
	return doctor.Suspect{Src: src, SrcMAC: peerMAC, Count: 3, Last: at(-0.2), Explanation: e}
}

func spoke(last float64, skew int) *doctor.Speaker {
	return &doctor.Speaker{Address: peerAddr, MAC: vmac, AdvBase: 1, AdvSkew: skew, LastSeen: at(last)}
}

// faulty has, for each code, a change of healthy facts that makes the rule find something, the words that the cause
// must contain, and further changes with which it finds nothing.
func faulty() map[string]struct {
	facts  func() *doctor.Facts
	change func(f *doctor.Facts, g *doctor.Group)
	words  []string
	quiet  []func(f *doctor.Facts, g *doctor.Group)
} {
	type change = func(f *doctor.Facts, g *doctor.Group)
	rose := func(reason string) change {
		return func(_ *doctor.Facts, g *doctor.Group) {
			g.Rise[reason] = 3
			g.Rejects = []doctor.Reject{{Reason: reason, Src: peerAddr, TTL: 254}}
		}
	}
	type row = struct {
		facts  func() *doctor.Facts
		change func(f *doctor.Facts, g *doctor.Group)
		words  []string
		quiet  []change
	}
	return map[string]row{
		doctor.CodeNoStandby: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.HasPeer = true
			g.Reports = []doctor.Report{{Node: "fw2", Address: peerAddr, At: at(-60)}}
		}, []string{"Redundancy is lost"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.HasPeer = false },
			func(_ *doctor.Facts, g *doctor.Group) { g.Standbys = 1 },
			func(_ *doctor.Facts, g *doctor.Group) { g.StandbysUnknown = "no node has reported yet" },
			func(_ *doctor.Facts, g *doctor.Group) { g.State = api.StateBackup },
		}},
		doctor.CodeConfigDiffers: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Reports = []doctor.Report{{
				Node: "fw2", Address: peerAddr, At: at(-1), Current: true,
				Differences: []api.Difference{{Code: api.DiffersPreempt, Text: "preempt is true here and false on fw2"}},
			}}
		}, []string{"Preempt is true here and false on fw2"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.Reports[0].Current = false },
			func(_ *doctor.Facts, g *doctor.Group) { g.Reports[0].Differences[0].Code = api.DiffersVersion },
		}},
		doctor.CodePeersFull: {
			master,
			func(_ *doctor.Facts, g *doctor.Group) { g.NoRoom = true },
			[]string{"The kernel has no room to remember another vipd node"},
			[]change{func(_ *doctor.Facts, g *doctor.Group) { g.NoRoom = false }},
		},
		doctor.CodeCommands: {master, func(f *doctor.Facts, _ *doctor.Group) {
			f.Commands = []string{"check web: /usr/local/bin/web cannot be run now: no such file or directory"}
		}, []string{"cannot be run"}, nil},
		doctor.CodeAddressesDiffer: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Suspects = []doctor.Suspect{
				suspect(peerAddr, doctor.Explanation{Found: true, Missing: addrs("192.0.2.7"), Extra: addrs("192.0.2.8")}),
			}
		}, []string{"192.0.2.12", "lacks 192.0.2.7", "has 192.0.2.8"}, nil},
		doctor.CodePasswordDiffers: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Suspects = []doctor.Suspect{suspect(peerAddr, doctor.Explanation{Tries: 12})}
		}, []string{"192.0.2.12", "another password"}, nil},
		doctor.CodeLLAddrDiffers: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Suspects = []doctor.Suspect{suspect(peerAddr, doctor.Explanation{Found: true, LLAddr: &peerMAC})}
		}, []string{"192.0.2.12", "02:00:00:00:00:0c"}, nil},
		doctor.CodeSegmentsJoined: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Suspects = []doctor.Suspect{suspect(peerAddr, doctor.Explanation{Found: true, Group: "eth1@1"})}
		}, []string{"192.0.2.12", "eth1@1"}, nil},
		doctor.CodeVHIDTwice: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Suspects = []doctor.Suspect{suspect(peerAddr, doctor.Explanation{}), suspect(otherAddr, doctor.Explanation{})}
		}, []string{"VHID 1", "192.0.2.12", "192.0.2.13"}, nil},
		doctor.CodeForged: {backup, func(_ *doctor.Facts, g *doctor.Group) {
			g.Suspects = []doctor.Suspect{suspect(peerAddr, doctor.Explanation{})}
		}, []string{"192.0.2.12 (02:00:00:00:00:0c)"}, nil},
		doctor.CodeSignatureRefused: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Rise["bad_hmac"] = 3
		}, []string{"VHID 1"}, []change{
			func(f *doctor.Facts, g *doctor.Group) { f.Watched, g.Rise["bad_hmac"] = 0, 1 },
			func(_ *doctor.Facts, g *doctor.Group) { g.Rise["bad_hmac"] = 0 },
		}},
		doctor.CodePeerDeaf: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Master, g.Received = spoke(-0.5, 100), 3
		}, []string{"192.0.2.12", "does not hear"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.Received = 0 },
			func(_ *doctor.Facts, g *doctor.Group) { g.Since = at(-3) },
			func(_ *doctor.Facts, g *doctor.Group) { g.Master.LastSeen = at(-30) },
			func(_ *doctor.Facts, g *doctor.Group) { g.Master.AdvBase, g.Master.AdvSkew = 255, 255 },
			func(_ *doctor.Facts, g *doctor.Group) { g.State = api.StateBackup },
		}},
		doctor.CodeNothingHeard: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Answers = []doctor.Answer{{Address: vip, MAC: vmac}}
		}, []string{"192.0.2.100", "none of its adverts"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.Answers = nil },
			func(_ *doctor.Facts, g *doctor.Group) { g.State = api.StateBackup },
		}},
		doctor.CodeAdvertsLost: {backup, func(_ *doctor.Facts, g *doctor.Group) {
			g.RiseTime, g.Received = 30*time.Second, 14
		}, []string{"192.0.2.12", "get lost"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.Received = 15 },
			func(_ *doctor.Facts, g *doctor.Group) { g.RiseTime, g.Received = 7*time.Second, 0 },
			func(_ *doctor.Facts, g *doctor.Group) { g.Since = at(-20) },
			func(_ *doctor.Facts, g *doctor.Group) { g.Master.AdvBase, g.Master.AdvSkew = 0, 128 },
			func(_ *doctor.Facts, g *doctor.Group) { g.Master.AdvSkew = 240 },
			func(_ *doctor.Facts, g *doctor.Group) { // of both families, one has a rule of its own
				g.Addresses = append(g.Addresses, netip.MustParseAddr("2001:db8::1"))
				g.Received, g.SilentFamily = 15, api.FamilyIPv6
			},
		}},
		doctor.CodeBeatDistrusted: {backup, func(_ *doctor.Facts, g *doctor.Group) {
			g.BeatDistrust = &api.BeatDistrust{Address: peerAddr.String(), WaitSeconds: 0.5, Until: at(50), Times: 2}
		}, []string{"The beats of 192.0.2.12 did not all arrive"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.BeatDistrust = nil },
			func(_ *doctor.Facts, g *doctor.Group) { g.BeatDistrust, g.Master.BeatsEnded = nil, at(-5) }, // by its operator
		}},
		doctor.CodeFamilySilent: {
			backup, func(_ *doctor.Facts, g *doctor.Group) { g.SilentFamily = api.FamilyIPv6 },
			[]string{"over ipv4", "not over ipv6"},
			nil,
		},
		doctor.CodePeerUnresolved: {
			master, func(_ *doctor.Facts, g *doctor.Group) { g.Unresolved = addrs("192.0.2.99") },
			[]string{"192.0.2.99"},
			nil,
		},
		doctor.CodeOutOfReach: {
			master, func(_ *doctor.Facts, g *doctor.Group) { g.Unreachable = []string{"interface eth0 has no IPv6 address"} },
			[]string{"do not reach", "hands over"},
			[]change{func(_ *doctor.Facts, g *doctor.Group) {
				g.Unreachable, g.SkippedPeers = nil, []string{"peer 192.0.2.11 is an address of this node and is skipped"}
			}},
		},
		doctor.CodeNoOwner: {
			backup,
			func(_ *doctor.Facts, g *doctor.Group) { g.Master = nil },
			[]string{"No owner is heard"},
			[]change{
				func(_ *doctor.Facts, g *doctor.Group) { g.Since = at(-3) },
			},
		},
		doctor.CodeReflected:   {master, rose("loop"), []string{"come back"}, nil},
		doctor.CodeForeignVRRP: {master, rose("foreign_vrrp"), []string{"VRID 1"}, nil},
		doctor.CodeTTLChanged:  {master, rose("bad_ttl"), []string{"TTL", "router"}, nil},
		doctor.CodeReplay:      {master, rose("replay"), []string{"heard before"}, nil},
		doctor.CodeBadTrailer:  {master, rose("bad_trailer"), []string{"without a trailer"}, nil},
		doctor.CodeFlood: {
			master, func(_ *doctor.Facts, g *doctor.Group) { g.Rise["rate_limited"] = 10000 },
			[]string{"More adverts"},
			[]change{rose("rate_limited")},
		},
		doctor.CodeDamaged: {master, rose("bad_checksum"), []string{"damaged"}, nil},
		doctor.CodeAddressConflict: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Answers = []doctor.Answer{{Address: vip, MAC: peerMAC}}
		}, []string{"02:00:00:00:00:0c"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.LLAddr = &peerMAC },
			func(_ *doctor.Facts, g *doctor.Group) { g.Answers[0].MAC = [6]byte{1, 0, 0x5e, 0, 1, 1} }, // OpenBSD, balancing
			func(_ *doctor.Facts, g *doctor.Group) { // ucarp answers with its own
				g.State, g.Master = api.StateBackup, spoke(-0.5, 0)
				g.Master.MAC[4] = 0
			},
			func(_ *doctor.Facts, g *doctor.Group) { // also one whose list differs
				g.Suspects = []doctor.Suspect{suspect(peerAddr, doctor.Explanation{Found: true, Missing: addrs("192.0.2.7")})}
				g.Suspects[0].SrcMAC = [6]byte{0, 0, 0x5e, 0, 0, 1}
			},
		}},
		doctor.CodeSecondInterface: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Answers = []doctor.Answer{{Address: vip, MAC: peerMAC, Interface: "eth1"}}
		}, []string{"eth1", "192.0.2.100"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) {
				g.Answers = nil
				g.Beside = []doctor.Beside{{Interface: "eth1", ARPIgnore: 1}}
			},
		}},
		doctor.CodeAnswersUnseen: {
			master,
			func(_ *doctor.Facts, g *doctor.Group) {
				g.Questions = asked(-2.5, -2.4, -1.5, -0.5)
			},
			[]string{"again and again", "interface"},
			[]change{
				func(_ *doctor.Facts, g *doctor.Group) { g.Delivered = 1 },
				func(_ *doctor.Facts, g *doctor.Group) { g.Questions = asked(-2.5, -2.4, -2.35, -1.5) }, // twice, each in a burst
				func(_ *doctor.Facts, g *doctor.Group) { g.Questions = asked(-5, -3, -1) },
				func(_ *doctor.Facts, g *doctor.Group) { g.Questions[2].MAC = vmac },
				func(_ *doctor.Facts, g *doctor.Group) { g.State = api.StateBackup },
				func(_ *doctor.Facts, g *doctor.Group) { // see mac_spoofing_filter
					g.Reach = &doctor.Reach{NIC: addrs("192.0.2.7")}
				},
			},
		},
		doctor.CodeMACSpoofing: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Mode, g.Reach = "generic", &doctor.Reach{NIC: addrs("192.0.2.7", "192.0.2.8")}
			g.Questions = asked(-2.5, -1.5, -0.5)
		}, []string{"MAC filter", "00:00:5e:00:01:01", "eth0"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.Reach.Virtual = addrs("192.0.2.8") },
			func(_ *doctor.Facts, g *doctor.Group) { g.Reach.NIC = nil },
			func(_ *doctor.Facts, g *doctor.Group) { g.Delivered = 1 },
			func(_ *doctor.Facts, g *doctor.Group) { g.State = api.StateBackup },
		}},
		doctor.CodeFencedTraffic: {backup, func(_ *doctor.Facts, g *doctor.Group) {
			g.Fenced, g.FencedFlows = 3, []string{"192.0.2.100 to 198.51.100.7"}
		}, []string{"192.0.2.100", "not MASTER", "SNAT"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.Fenced = 1 },
			func(_ *doctor.Facts, g *doctor.Group) { g.Since = at(-2) }, // it has just given the address up
			func(_ *doctor.Facts, g *doctor.Group) { g.State = api.StateMaster },
		}},
		doctor.CodeMACFilter: {
			master,
			func(_ *doctor.Facts, g *doctor.Group) { g.Filter.HasMAC = false },
			[]string{"eth0", "00:00:5e:00:01:01"},
			[]change{
				func(_ *doctor.Facts, g *doctor.Group) { g.Filter.Promiscuous = true },
				func(_ *doctor.Facts, g *doctor.Group) { g.Filter.None = true }, // a tunnel
				func(_ *doctor.Facts, g *doctor.Group) { g.Delivered = 1 },      // it arrives
				func(_ *doctor.Facts, g *doctor.Group) { g.Filter = nil },
				func(_ *doctor.Facts, g *doctor.Group) { g.State = api.StateBackup },
			},
		},
		doctor.CodeNotAnswering: {
			master,
			func(_ *doctor.Facts, g *doctor.Group) { g.Answering = false },
			[]string{"silent"},
			[]change{
				func(_ *doctor.Facts, g *doctor.Group) { g.Since = at(-1) },
			},
		},
		doctor.CodeXDPTaken: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.State, g.Reason, g.Detail, g.Filter = api.StateInit, "attach_failed", "xdp slot taken: program id 77", nil
			g.SlotTaken = true
		}, []string{"eth0", "another program"}, nil},
		doctor.CodeGroupDown: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.State, g.Reason, g.Detail, g.Filter = api.StateInit, "link_down", "no cable", nil
		}, []string{"INIT (link_down)"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.Reason = "disabled" },
		}},
		doctor.CodeAllInMaintenance: {backup, func(f *doctor.Facts, g *doctor.Group) {
			f.Maintenance = true
			g.Master.AdvSkew = 240
		}, []string{"192.0.2.12", "maintenance"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.Master.AdvSkew = 100 },
			func(f *doctor.Facts, _ *doctor.Group) { f.Maintenance = false },
			func(_ *doctor.Facts, g *doctor.Group) { g.Master.AdvBase, g.Master.AdvSkew = 255, 255 },
		}},
		doctor.CodeSendFailing: {master, func(f *doctor.Facts, _ *doctor.Group) {
			f.Demotions = []api.Demotion{{
				Name: "senderr:eth0@1", Value: 240, Since: at(-9), Reason: "adverts could not be sent: queue is full",
			}}
		}, []string{"eth0@1"}, []change{
			func(f *doctor.Facts, _ *doctor.Group) { f.Demotions[0].Name = "maintenance" },
		}},
		doctor.CodeStarved: {master, func(f *doctor.Facts, _ *doctor.Group) {
			f.Lag = doctor.Lag{Worst: 2 * time.Second, At: at(-30), Count: 1}
		}, []string{"not scheduled in time"}, []change{
			func(f *doctor.Facts, _ *doctor.Group) { f.Lag.Worst = 400 * time.Millisecond },
		}},
		doctor.CodeNoRealTime: {backup, func(_ *doctor.Facts, g *doctor.Group) {
			g.Beat = time.Millisecond
		}, []string{"without real-time priority"}, []change{
			func(f *doctor.Facts, _ *doctor.Group) { f.RealTime = true },
			func(f *doctor.Facts, _ *doctor.Group) { f.Watched = 0 }, // a status says nothing of priorities
			func(_ *doctor.Facts, g *doctor.Group) { g.Beat = 0 },
			func(_ *doctor.Facts, g *doctor.Group) { g.Beat, g.Configured = 0, 100*time.Millisecond },
		}},
		doctor.CodeOwnAddress: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.State, g.Reason, g.Answering, g.Detail = api.StateInit, "own_address", false, "`ip addr del 192.0.2.1/24 dev eth0`"
		}, []string{"ordinary address", "ip addr del"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.State, g.Answering = api.StateMaster, true },
		}},
		doctor.CodeAddressRemoved: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.Restored, g.RestoredAt = 3, at(-10)
		}, []string{"3 restored so far, the last one 10.0 s ago"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.RestoredAt = at(-61) },
		}},
		doctor.CodeRoutesLost: {backup, func(_ *doctor.Facts, g *doctor.Group) {
			g.LostRoutes = []string{"default via 192.0.2.1", "10.0.0.0/8 via 192.0.2.1 src 192.0.2.100"}
		}, []string{"default via 192.0.2.1, 10.0.0.0/8"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.LostRoutes = nil },
		}},
		doctor.CodeHostConfig: {master, func(_ *doctor.Facts, g *doctor.Group) {
			g.HostNotes = []string{"eth0 has no IPv4 address of its own"}
		}, []string{"no IPv4 address"}, []change{
			func(_ *doctor.Facts, g *doctor.Group) { g.HostNotes = nil },
		}},
	}
}

func codes(findings []api.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Code)
	}
	return out
}

// TestEachRule: each rule alone finds its fault, and finds nothing in facts that are similar but not a fault.
func TestEachRule(t *testing.T) {
	t.Parallel()
	rows := faulty()
	for _, r := range doctor.Rules() {
		row, ok := rows[r.Code]
		if !ok {
			t.Errorf("%s has no row", r.Code)
			continue
		}
		f := row.facts()
		row.change(f, &f.Groups[0])
		d := doctor.Diagnose(f)
		if got := codes(d.Findings); !slices.Equal(got, []string{r.Code}) {
			t.Errorf("%s: found %q", r.Code, got)
			continue
		}
		x := d.Findings[0]
		for _, w := range row.words {
			if !strings.Contains(x.Cause, w) {
				t.Errorf("%s: %q is not in the cause: %s", r.Code, w, x.Cause)
			}
		}
		if !strings.HasSuffix(x.Cause, ".") || x.Advice == "" ||
			x.Severity != api.SeverityFault && x.Severity != api.SeverityWarning {
			t.Errorf("%s is incomplete: %+v", r.Code, x)
		}
		for i, q := range row.quiet {
			f := row.facts()
			row.change(f, &f.Groups[0])
			q(f, &f.Groups[0])
			if got := codes(doctor.Diagnose(f).Findings); slices.Contains(got, r.Code) {
				t.Errorf("%s: found although it is not a fault, %d", r.Code, i)
			}
		}
	}
}

func TestHealthy(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*doctor.Facts{"master": master(), "backup": backup(), "no groups": {}} {
		f.Skipped = map[string]string{doctor.CodeMACFilter: "no such kernel"}
		d := doctor.Diagnose(f)
		if len(d.Findings) > 0 {
			t.Errorf("%s: %+v", name, d.Findings)
		}
		if len(d.Checks) != len(doctor.Rules()) {
			t.Errorf("%s: %d checks of %d are reported", name, len(d.Checks), len(doctor.Rules()))
		}
		for _, c := range d.Checks {
			want := api.CheckOK
			if c.Code == doctor.CodeMACFilter {
				want = api.CheckSkipped
			}
			if c.Result != want || c.What == "" || want == api.CheckSkipped && c.Note != "no such kernel" {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}

// TestOrderAndOverlap: related symptoms are one finding, and findings are sorted by severity.
func TestOrderAndOverlap(t *testing.T) {
	t.Parallel()
	f := master()
	g := &f.Groups[0]
	g.Rise["bad_hmac"], g.Rise["loop"] = 3, 3
	g.Suspects = []doctor.Suspect{suspect(peerAddr, doctor.Explanation{Found: true, Missing: addrs("192.0.2.7")})}
	g.Answers = []doctor.Answer{{Address: vip, MAC: vmac}}
	found := func(want ...string) {
		t.Helper()
		if got := codes(doctor.Diagnose(f).Findings); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	found(doctor.CodeAddressesDiffer, doctor.CodeReflected)
	// An unknown speaker beside an authentic master is another cluster, many are one forger.
	f = backup()
	g = &f.Groups[0]
	g.Suspects = []doctor.Suspect{suspect(otherAddr, doctor.Explanation{})}
	found(doctor.CodeVHIDTwice)
	for i := range 8 {
		g.Suspects = append(g.Suspects, suspect(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), doctor.Explanation{}))
	}
	found(doctor.CodeForged)
}

// TestUnseenByMode: the driver can lose the answers only in native mode.
func TestUnseenByMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"native", "generic", "tc"} {
		native := mode == "native"
		f := master()
		f.Groups[0].Mode, f.Groups[0].Questions = mode, asked(-2.5, -1.5, -0.5)
		d := doctor.Diagnose(f)
		if len(d.Findings) != 1 || d.Findings[0].Code != doctor.CodeAnswersUnseen {
			t.Errorf("%s: %+v", mode, d.Findings)
			continue
		}
		x := d.Findings[0]
		if strings.Contains(x.Cause+x.Advice, "native XDP") != native || !strings.Contains(x.Advice, "Forged transmits") ||
			!native && !strings.Contains(x.Advice, "mode "+mode) {
			t.Errorf("%s: %s %s", mode, x.Cause, x.Advice)
		}
	}
}

// TestProxyIsNamed: a router with proxy ARP is distinguished from a host that has the address.
func TestProxyIsNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		proxy bool
		want  string
	}{{true, "switch proxy ARP off"}, {false, "take the address off it"}} {
		f := backup()
		f.Groups[0].Answers = append(f.Groups[0].Answers, doctor.Answer{Address: vip, MAC: peerMAC, Proxy: tt.proxy})
		d := doctor.Diagnose(f)
		if len(d.Findings) != 1 || d.Findings[0].Code != doctor.CodeAddressConflict ||
			!strings.Contains(d.Findings[0].Cause, "02:00:00:00:00:0c") ||
			!strings.Contains(d.Findings[0].Advice, tt.want) {
			t.Errorf("proxy %v: %+v", tt.proxy, d.Findings)
		}
	}
}

// TestNotes: a note on many groups is reported once.
func TestNotes(t *testing.T) {
	t.Parallel()
	f := master()
	note := func() string {
		for _, c := range doctor.Diagnose(f).Checks {
			if c.Code == doctor.CodeNothingHeard {
				return c.Note
			}
		}
		return "no such check"
	}
	if got := note(); !strings.HasPrefix(got, "eth0@1: no other node was ever heard") {
		t.Errorf("one: %q", got)
	}
	for range 9 {
		f.Groups = append(f.Groups, f.Groups[0])
	}
	if got := note(); !strings.HasPrefix(got, "eth0@1, eth0@1, eth0@1, eth0@1, eth0@1, and 5 more: no other") ||
		strings.Count(got, "ever heard") != 1 {
		t.Errorf("ten: %q", got)
	}
}

// A MASTER of which nobody can know a standby does not pass the check without a word.
func TestUnknownStandbyIsNoted(t *testing.T) {
	t.Parallel()
	f := master()
	f.Groups[0].HasPeer = true
	f.Groups[0].StandbysUnknown = "this node cannot exchange hellos without an address of its own"
	for _, c := range doctor.Diagnose(f).Checks {
		want := "eth0@1: who would take over is unknown, since " + f.Groups[0].StandbysUnknown
		if c.Code == doctor.CodeNoStandby && (c.Note != want || c.Result != api.CheckOK) {
			t.Errorf("%+v", c)
		}
	}
}

func TestStarvedLease(t *testing.T) {
	t.Parallel()
	f := master()
	f.Expired = []api.Transition{{Group: "eth0@1", Time: at(-60)}}
	d := doctor.Diagnose(f)
	if got := codes(d.Findings); !slices.Equal(got, []string{doctor.CodeStarved}) ||
		d.Findings[0].Severity != api.SeverityFault {
		t.Errorf("%+v", d.Findings)
	}
}

func TestBesideABackup(t *testing.T) {
	t.Parallel()
	f := backup()
	f.Groups[0].Beside = []doctor.Beside{{Interface: "eth1", Address: netip.MustParsePrefix("192.0.2.3/24")}}
	d := doctor.Diagnose(f)
	if got := codes(d.Findings); !slices.Equal(got, []string{doctor.CodeSecondInterface}) ||
		d.Findings[0].Severity != api.SeverityWarning {
		t.Errorf("%+v", d.Findings)
	}
}

// TestPassive: a status and the rise of its counters suffice for the passive rules.
func TestPassive(t *testing.T) {
	t.Parallel()
	st := api.Status{
		Node: "fw1", Enabled: true,
		Groups: []api.Group{
			{
				Name:      "eth0@1",
				Interface: "eth0",
				VHID:      1,
				State:     api.StateMaster,
				Since:     at(-60),
				Addresses: []string{"192.0.2.100/24"},
				AdvBase:   1,
				Dataplane: api.Dataplane{Answering: true},
				Master:    &api.Master{Address: "192.0.2.12", AdvBase: 1, AdvSkew: 100, LastSeen: at(-0.5)},
			},
		},
	}
	f := doctor.FromStatus(&st, at(0))
	diff := cmp.Diff([]netip.Addr{vip}, f.Groups[0].Addresses, equateAddrs)
	if diff != "" || f.Groups[0].Interval != time.Second {
		t.Errorf("%+v\n%s", f.Groups[0], diff)
	}
	f.Groups[0].Rise = map[string]uint64{"bad_hmac": doctor.RiseOf(9, 7), "loop": doctor.RiseOf(2, 5)}
	want := []string{doctor.CodeSignatureRefused, doctor.CodePeerDeaf, doctor.CodeReflected}
	if got := doctor.Passive(f, &f.Groups[0]); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	st.Groups[0].Master = nil
	if got := doctor.Passive(f, &doctor.FromStatus(&st, at(0)).Groups[0]); len(got) > 0 {
		t.Errorf("healthy: %+v", got)
	}
}

// TestDocs: docs/doctor.md has exactly the codes.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	var written, known []string
	for _, m := range regexp.MustCompile("(?m)^### `([a-z0-9_]+)`$").FindAllSubmatch(text, -1) {
		written = append(written, string(m[1]))
	}
	for _, r := range doctor.Rules() {
		known = append(known, r.Code)
	}
	if diff := cmp.Diff(known, written); diff != "" {
		t.Errorf("docs/doctor.md and the rules, in their order (-rules +docs):\n%s", diff)
	}
	for _, section := range strings.Split(string(text), "\n### ")[1:] {
		if !strings.Contains(section, "**Cause:**") || !strings.Contains(section, "**Cure:**") {
			t.Errorf("no cause or no cure: %.60s", section)
		}
	}
}

// What the kernel said of a send that failed is part of the finding.
func TestFailedSendsHaveTheirReason(t *testing.T) {
	t.Parallel()
	const why = "adverts could not be sent: the queue is full"
	f := master()
	f.Demotions = []api.Demotion{{Name: "senderr:eth0@1", Value: 240, Since: at(-9), Reason: why}}
	f.Groups[0].State, f.Groups[0].Reason, f.Groups[0].Master = api.StateBackup, "send_failed", nil
	f.Groups[0].Note = "another program drops them"
	report := doctor.Diagnose(f)
	for code, want := range map[string]string{
		doctor.CodeSendFailing: why, doctor.CodeNoOwner: "data plane: another program drops them",
	} {
		at := slices.IndexFunc(report.Findings, func(f api.Finding) bool { return f.Code == code })
		if at < 0 || !slices.Contains(report.Findings[at].Evidence, want) {
			t.Errorf("%s lacks the evidence %q: %+v", code, want, report.Findings)
		}
	}
}
