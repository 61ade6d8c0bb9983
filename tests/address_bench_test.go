// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// BenchmarkAddressEvents measures what a MASTER of groups of both families, one per interface, uses of a core:
// undisturbed, and while another program changes addresses of an interface without groups 20 times a second. It also
// measures the stop after the groups have let go.
func BenchmarkAddressEvents(b *testing.B) {
	for _, interfaces := range []int{200, 500} {
		b.Run(fmt.Sprintf("interfaces=%d", interfaces), func(b *testing.B) {
			for b.Loop() {
				addressEvents(b, interfaces)
			}
		})
	}
}

func addressEvents(b *testing.B, interfaces int) {
	b.Helper()
	bin, err := binaries()
	if err != nil {
		b.Fatal(err)
	}
	const watched = 10 * time.Second
	l := lab.New(b)
	host, sink := l.NewHost("a"), l.NewHost("sink")
	var commands, ends strings.Builder
	config := lab.NodeConfig{}
	for i := range interfaces {
		name, net4, net6 := fmt.Sprintf("d%d", i), fmt.Sprintf("10.%d.%d", i/256, i%256), fmt.Sprintf("2001:db8:%x:", i+1)
		fmt.Fprintf(&commands, "link add %s type veth peer name %s netns %s\nlink set %s up\n"+
			"addr add %s.1/24 dev %s\naddr add %s:1/64 nodad dev %s\n",
			name, name, filepath.Base(sink.NetNS()), name, net4, name, net6, name)
		fmt.Fprintf(&ends, "link set %s up\n", name)
		config.Groups = append(config.Groups, lab.Group{
			Interface: name, Addresses: []string{net4 + ".100/24", net6 + ":100/64"},
		})
	}
	commands.WriteString("link add other up type bridge\n")
	batch := func(h *lab.Host, commands string) {
		script := filepath.Join(l.Dir(), "commands")
		if err := os.WriteFile(script, []byte(commands), 0o600); err != nil {
			b.Fatal(err)
		}
		h.MustRun(time.Minute, "ip", "-batch", script)
	}
	batch(host, commands.String())
	batch(sink, ends.String())
	n := host.NewNode(bin, config)
	n.Start()
	waitAll(n, l, "answers", time.Minute, func(g lab.GroupStatus) bool {
		return g.State == lab.Master && g.Dataplane.Answering
	})
	time.Sleep(5 * time.Second) // the announcements of a new MASTER, and the renewal after them
	used := func(do func()) float64 {
		before, began := n.Proc().CPU(), time.Now()
		do()
		return 100 * (n.Proc().CPU() - before).Seconds() / time.Since(began).Seconds()
	}
	b.ReportMetric(used(func() { time.Sleep(watched) }), "%core_undisturbed")
	b.ReportMetric(used(func() {
		for began := time.Now(); time.Since(began) < watched; {
			host.MustRun(toolTimeout, "ip", "addr", "add", "192.0.2.1/32", "dev", "other")
			time.Sleep(40 * time.Millisecond)
			host.MustRun(toolTimeout, "ip", "addr", "del", "192.0.2.1/32", "dev", "other")
			time.Sleep(40 * time.Millisecond)
		}
	}), "%core_with_events")
	n.MustCTL("disable") // no other node takes over, so that it speaks until its leases end
	began := time.Now()
	n.Stop()
	b.ReportMetric(time.Since(began).Seconds(), "s_to_stop")
	b.ReportMetric(0, "ns/op")
}
