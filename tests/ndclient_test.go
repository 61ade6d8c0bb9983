// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"

	"github.com/google/go-cmp/cmp"
)

// What Linux itself makes of the answers to its solicitations, and tshark: a client that asks everybody finds the
// virtual MAC, one that asks the virtual MAC alone finds it reachable, one that would take the address for its own
// finds it taken, and a MASTER that forwards is known as a router. All of them with a right checksum, from the virtual
// MAC.
func TestLinuxClientsResolveTheVIPByND(t *testing.T) {
	t.Parallel()
	require(t, needTShark)
	for _, forwards := range []bool{false, true} {
		t.Run(fmt.Sprintf("forwards=%v", forwards), func(t *testing.T) {
			t.Parallel()
			require(t, needNetNS, needBPF)
			l := lab.New(t)
			segment, host, client := l.NewSegment("lan"), l.NewHost("a"), l.NewHost("client")
			port := segment.Join(host, "eth0", addrA6.String()+"/64")
			clientPort := segment.Join(client, "eth0", addrClient6.String()+"/64")
			if forwards {
				sysctl6(t, host, "forwarding", "1")
			}
			node := host.NewNode(bin(t), vip6Only(0))
			node.Start()
			node.WaitAnswering(group, upTimeout)
			sniffer := port.Sniff()
			entry := func() string {
				_, out := client.Run(toolTimeout, "ip", "-6", "neigh", "show", vip6.String(), "dev", "eth0")
				return out
			}
			reachable := func(how string) {
				t.Helper()
				l.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
					got := entry()
					return strings.Contains(got, net.HardwareAddr(vmac[:]).String()) &&
						strings.Contains(got, "REACHABLE"), how + ": " + got
				})
				if got := entry(); strings.Contains(got, "router") != forwards {
					t.Errorf("%s: forwards %v, and the client's entry is %s", how, forwards, got)
				}
			}
			client.MustRun(toolTimeout, "ip", "-6", "neigh", "flush", "dev", "eth0")
			sendUDP6(t, client, addrClient6, vip6)
			reachable("asked by multicast")
			client.MustRun(toolTimeout, "ip", "-6", "neigh", "change", vip6.String(), "dev", "eth0", "nud", "probe")
			reachable("probed by unicast")

			sysctl6(t, client, "accept_dad", "1")
			client.MustRun(toolTimeout, "ip", "-6", "addr", "add", vip6.String()+"/128", "dev", "eth0")
			l.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
				out := client.MustRun(toolTimeout, "ip", "-6", "addr", "show", "dev", "eth0")
				return strings.Contains(out, "dadfailed"), "the client's own attempt at the address fails:\n" + out
			})

			sniffer.Await(patience, "an answer to all nodes", func(f lab.Frame) bool {
				n, ok := f.ND()
				return ok && f.FromHost && n.Type == lab.NDAdvertisement && !n.Solicited
			})
			answers := sniffer.Frames().FromHost().Where(func(f lab.Frame) bool {
				n, ok := f.ND()
				return ok && n.Type == lab.NDAdvertisement && n.Target == vip6
			})
			file := filepath.Join(t.TempDir(), "answers.pcap")
			if err := os.WriteFile(file, pcap(answers), 0o600); err != nil {
				t.Fatal(err)
			}
			flag := func(on bool) string { return map[bool]string{true: "1", false: "0"}[on] }
			mac, all := net.HardwareAddr(vmac[:]).String(), "ff02::1"
			toAll, toOne := 0, 0
			for _, got := range tshark(l, client, file, "eth.dst", "eth.src", "ipv6.src", "ipv6.dst", "ipv6.hlim",
				"icmpv6.checksum.status", "icmpv6.opt.type", "icmpv6.opt.linkaddr",
				"icmpv6.nd.na.flag.r", "icmpv6.nd.na.flag.s", "icmpv6.nd.na.flag.o") {
				for i, v := range got {
					switch strings.ToLower(v) { // of several versions
					case "true":
						got[i] = "1"
					case "false":
						got[i] = "0"
					}
				}
				to := got[3]
				if to == all {
					toAll++
				} else {
					toOne++
				}
				dst := map[bool]string{true: "33:33:00:00:00:01", false: net.HardwareAddr(clientPort.MAC[:]).String()}[to == all]
				want := []string{dst, mac, vip6.String(), to, "255", "1", "2", mac, flag(forwards), flag(to != all), "1"}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("answer to %s (-want +got):\n%s", to, d)
				}
			}
			if toOne < 2 || toAll < 1 {
				t.Errorf(
					"%d answers to the client and %d to all; want one per solicitation, and one to the host "+
						"that tries to use the address",
					toOne,
					toAll,
				)
			}
			node.Stop()
		})
	}
}

// sysctl6 sets one of IPv6's for the host's eth0.
func sysctl6(t *testing.T, h *lab.Host, name, value string) {
	t.Helper()
	if err := h.Within(func() error {
		return os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf/eth0", name), []byte(value), 0o644)
	}); err != nil {
		t.Fatalf("set %s on %s: %v", name, h.Name, err)
	}
}

// pcap returns a capture file of frames.
func pcap(frames lab.Frames) []byte {
	b := slices.Concat([]byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0}, make([]byte, 8), []byte{0, 0, 1, 0, 1, 0, 0, 0})
	for _, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, uint32(f.At.Unix()))
		b = binary.LittleEndian.AppendUint32(b, uint32(f.At.Nanosecond()/1000))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.Data)))
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(f.Data))), f.Data...)
	}
	return b
}
