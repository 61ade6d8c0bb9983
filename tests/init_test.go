// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

// speaker sends a frame ten times per second until the test ends.
func speaker(t *testing.T, port *lab.Port, frame func() []byte) {
	t.Helper()
	injector := port.Injector()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for every := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-every.C:
				injector.Send(frame())
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-ended
	})
}

// vipctl init on a segment with a foreign CARP group and a VRRP router: it finds both, keeps off their numbers, refuses
// an address that another host has, overwrites nothing, and what it writes makes a MASTER.
func TestInitLooksAtTheSegment(t *testing.T) {
	t.Parallel()
	require(t, needNetNS, needBPF)
	l := lab.New(t)
	segment := l.NewSegment("lan")
	host, client := l.NewHost("a"), l.NewHost("client")
	segment.Join(host, "eth0", addrA.String()+"/24")
	port := segment.Join(client, "eth0", addrClient.String()+"/24")
	// The foreign group has VHID 1 and other addresses.
	foreign := newPeer(port, addrClient)
	speaker(t, port, func() []byte { return foreign.build(nil) })
	speaker(t, port, func() []byte { return vrrpFrame(t, port.MAC, addrClient, 2) })
	dir := t.TempDir()
	path := filepath.Join(dir, "vipd.toml")
	initialise := func(flags ...string) (int, string) {
		args := []string{"init", "--interface", "eth0", "--peer", "vipd-backup", "--yes", "--config", path}
		return host.Run(toolTimeout, filepath.Join(bin(t), "vipctl"), append(args, flags...)...)
	}
	code, out := initialise("--address", addrClient.String())
	if code != 1 || !strings.Contains(out, "another host has "+addrClient.String()+" already, at ") {
		t.Errorf("an address that answers: exit %d\n%s", code, out)
	}
	code, out = initialise("--address", vip.String(), "--vhid", "1")
	if code != 1 || !strings.Contains(out, "VHID 1 is in use on this segment: CARP from "+addrClient.String()) ||
		!strings.Contains(out, "VHID 3 is free, use --vhid 3") {
		t.Errorf("a VHID that is in use: exit %d\n%s", code, out)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Fatalf("refused, and wrote %v, %v", files, err)
	}
	code, out = initialise("--address", vip.String())
	if code != 0 || !strings.Contains(out, "VHID 1") || !strings.Contains(out, "VRID 2") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	before, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(before), "vhid = 3 ") {
		t.Errorf("wrote\n%s\n%v", before, err)
	}
	code, out = initialise("--address", vip.String())
	after, err := os.ReadFile(path)
	if code != 1 || !strings.Contains(out, "exists, and nothing is overwritten") ||
		err != nil || string(after) != string(before) {
		t.Errorf("the second time: exit %d, %v\n%s", code, err, out)
	}
	// The group runs as it was written.
	node := host.NewNode(bin(t), lab.NodeConfig{})
	node.WriteRawConfig(fmt.Sprintf("%s[node]\nstate_dir = %q\nruntime_dir = %q\nbpf_dir = %q\n[control]\nsocket = %q\n",
		before, node.StateDir(), node.RuntimeDir(), node.BPFDir(), node.Socket()))
	node.Start()
	node.WaitAnswering("eth0@3", upTimeout)
	elsewhere := filepath.Join(t.TempDir(), "b.toml")
	// Another node finds the group, and wants its password.
	other := l.NewHost("b")
	segment.Join(other, "eth0", addrB.String()+"/24")
	join := func(flags ...string) (int, string) {
		args := []string{
			"init", "--interface", "eth0", "--peer", "vipd-master", "--yes", "--config", elsewhere,
			"--address", vip.String(),
		}
		return other.Run(toolTimeout, filepath.Join(bin(t), "vipctl"), append(args, flags...)...)
	}
	if code, out = join(); code != 1 || !strings.Contains(out, "add --password-file FILE") {
		t.Errorf("joining without the password: exit %d\n%s", code, out)
	}
	code, out = join("--password-file", filepath.Join(dir, "eth0-3.key"))
	if joined, err := os.ReadFile(elsewhere); code != 0 || err != nil ||
		!strings.Contains(string(joined), "vhid = 3 ") || !strings.Contains(string(joined), "advskew = 100 ") {
		t.Errorf("joining: exit %d, %v\n%s\n%s", code, err, joined, out)
	}
}

// vrrpFrame is an advertisement of VRRPv2 with one address and padding.
func vrrpFrame(t *testing.T, mac [6]byte, src interface{ AsSlice() []byte }, vrid byte) []byte {
	t.Helper()
	payload := append([]byte{0x21, vrid, 100, 1, 0, 1, 0, 0, 192, 0, 2, 77}, make([]byte, 8)...)
	sum := wire.Checksum(payload)
	payload[6], payload[7] = byte(sum>>8), byte(sum)
	to := wire.MulticastMAC(wire.MulticastV4)
	frame := append(append(to[:], mac[:]...), 0x08, 0x00)
	header := append([]byte{0x45, 0, 0, 40, 0, 1, 0, 0, 255, 112, 0, 0}, src.AsSlice()...)
	header = append(header, 224, 0, 0, 18)
	sum = wire.Checksum(header)
	header[10], header[11] = byte(sum>>8), byte(sum)
	return append(append(append(frame, header...), payload...), make([]byte, 6)...)
}
