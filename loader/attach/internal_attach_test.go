// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// FakeNIC is a driver that switches some of its features and refuses others.
type FakeNIC struct {
	On, Fixed map[string]bool
	Err       error
}

func (n FakeNIC) Features(string) (map[string]bool, error) { return maps.Clone(n.On), n.Err }

func (n FakeNIC) Switch(_, feature string, on bool) error {
	if !n.Fixed[feature] {
		n.On[feature] = on
	}
	return nil
}

// TestTagOffloads: each is switched off by itself, and one that stays on is named.
func TestTagOffloads(t *testing.T) {
	const ctag, stag = "rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"
	type set = map[string]bool
	for _, tc := range []struct {
		name  string
		nic   FakeNIC
		wasOn uint32
		says  string
	}{
		{"none", FakeNIC{On: set{"rx-checksum": true}}, 0, ""},
		{"both", FakeNIC{On: set{ctag: true, stag: true}}, ifaceRXVLAN | ifaceRXSTag, ""},
		{"802.1Q", FakeNIC{On: set{ctag: true, stag: false}}, ifaceRXVLAN, ""},
		{"802.1ad", FakeNIC{On: set{ctag: false, stag: true}}, ifaceRXSTag, ""},
		{
			"802.1ad stays",
			FakeNIC{On: set{ctag: true, stag: true}, Fixed: set{stag: true}},
			ifaceRXVLAN,
			"switch rx-vlan-stag-hw-parse of eth9 off: it stays on",
		},
		{
			"802.1Q stays",
			FakeNIC{On: set{ctag: true, stag: true}, Fixed: set{ctag: true}},
			ifaceRXSTag,
			"switch rx-vlan-offload of eth9 off: it stays on",
		},
		{"a driver without", FakeNIC{Err: unix.EOPNOTSUPP}, 0, ""},
		{"nobody answers", FakeNIC{Err: unix.EIO}, 0, "ask for the features of eth9"},
	} {
		wasOn, err := switchOff(tc.nic, "eth9")
		if wasOn != tc.wasOn || (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: were on %#x, %v", tc.name, wasOn, err)
		}
		for f, on := range tc.nic.On {
			if on && f != "rx-checksum" && !tc.nic.Fixed[f] {
				t.Errorf("%s: %s is on", tc.name, f)
			}
		}
	}
}

func TestRefuseTagged(t *testing.T) {
	on, off := true, false
	for _, tc := range []struct {
		link    netlink.Link
		refused bool
	}{
		{&netlink.Vlan{ReorderHdr: &on}, false},
		{&netlink.Vlan{}, true}, // the kernel tells of no flags where none is set
		{&netlink.Vlan{ReorderHdr: &off}, true},
		{&netlink.Veth{}, false},
	} {
		if err := refuseTagged(tc.link); errors.Is(err, errTagged) != tc.refused {
			t.Errorf("%+v: %v", tc.link, err)
		}
	}
}

func TestFilterNames(t *testing.T) {
	long := "/sys/fs/bpf/" + strings.Repeat("x", 300)
	for _, dir := range []string{"/sys/fs/bpf/vipd", long} {
		name := filterOf(dir)
		if len(name) > maxFilterName || name == filterOf(dir+"y") || name != filterOf(dir+"/") && dir != long {
			t.Errorf("%s: %s", dir, name)
		}
		for there, want := range map[string]bool{
			string(name):             true,
			"vipd":                   true,
			"vipd:/sys/fs/bpf/other": false,
			"other":                  false,
		} {
			if got := name.is(&netlink.BpfFilter{Name: there}); got != want {
				t.Errorf("%s is %s: %v", there, name, got)
			}
		}
	}
}
