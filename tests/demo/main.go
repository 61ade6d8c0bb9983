// SPDX-License-Identifier: Apache-2.0

// Command demo shows a failover: two nodes and a client in network namespaces, the
// master killed with kill -9, and the gap that the client saw. It removes everything it made, also on Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"vipd/tests/lab"
)

func main() {
	bin := flag.String("bin", "bin", "`directory` with vipd and vipctl")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, *bin); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, bin string) error {
	if os.Geteuid() != 0 {
		return errors.New("must run as root: it creates network namespaces and loads BPF programs; try sudo make demo")
	}
	for _, name := range []string{"vipd", "vipctl"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return fmt.Errorf("%w; run make build first", err)
		}
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	// What a demo that was killed outright has left.
	if _, err := lab.Sweep(); err != nil {
		return err
	}
	s := newStage(ctx)
	return s.run(func() { play(s, bin) })
}

const (
	group   = "eth0@1"
	vipText = "192.0.2.100"
	spacing = 2 * time.Millisecond
)

// play runs the demo; any step that fails ends it through the stage.
func play(s *stage, bin string) {
	vip := netip.MustParseAddr(vipText)
	s.say("Creating the network: a switch, two nodes and a client, each in its own network namespace.")
	l := lab.New(s)
	lan := l.NewSegment("lan")
	hosts := [2]*lab.Host{l.NewHost("fw1"), l.NewHost("fw2")}
	client := l.NewHost("client")
	lan.Join(hosts[0], "eth0", "192.0.2.11/24")
	lan.Join(hosts[1], "eth0", "192.0.2.12/24")
	lan.Join(client, "eth0", "192.0.2.50/24")
	var nodes [2]*lab.Node
	for i, h := range hosts {
		nodes[i] = h.NewNode(
			bin,
			lab.NodeConfig{
				Groups: []lab.Group{{Addresses: []string{vipText + "/24"}, AdvSkew: i * 10, Description: "LAN gateway"}},
			},
		)
	}
	fw1, fw2 := nodes[0], nodes[1]
	s.show(`
     fw1  192.0.2.11 ---+
                        |
     fw2  192.0.2.12 ---+--- client 192.0.2.50
                        |
     VIP ...............+    192.0.2.100, owned by one of the two`)

	s.say("Starting vipd on both nodes. fw1 has advskew 0 and fw2 has advskew 10, so fw1 becomes MASTER.")
	fw1.Start()
	fw2.Start()
	fw1.WaitAnswering(group, 15*time.Second)
	fw2.WaitState(group, lab.Backup, 5*time.Second)
	status(s, fw1)
	status(s, fw2)
	s.show("\n     " + dataPlane(fw1.Group(group).Dataplane.Mode, fw1.Group(group).Dataplane.Note))

	s.say("The client pings %v every %v.", vip, spacing)
	pinger := client.Ping(vip, spacing)
	pinger.AwaitAnswer(time.Now(), 5*time.Second)
	s.pause(2 * time.Second)

	s.say(
		"Killing vipd on fw1 with kill -9. Its link stays up and its kernel keeps the address: with ucarp, " +
			"both nodes would now own it.",
	)
	killed := fw1.Kill9()
	fw2.WaitAnswering(group, 10*time.Second)
	took := time.Since(killed)
	s.pause(time.Second)
	report := pinger.Stop()
	status(s, fw2)
	s.say(
		"fw2 took over %v after the kill. Its master-down interval is three advertisement intervals plus 10/256 s of skew.",
		took.Round(10*time.Millisecond),
	)
	s.show(fmt.Sprintf(`
     sent %d pings, lost %d
     longest gap seen by the client: %v

     fw1's kernel answered until its lease expired, and then stopped by itself.`,
		report.Sent, report.Lost, report.Gap.Round(time.Millisecond)))

	s.say("Starting vipd on fw1 again. Preemption is on, so it takes the address back.")
	pinger = client.Ping(vip, spacing)
	pinger.AwaitAnswer(time.Now(), 5*time.Second)
	fw1.Start()
	fw1.WaitAnswering(group, 15*time.Second)
	fw2.WaitState(group, lab.Backup, 5*time.Second)
	s.pause(time.Second)
	report = pinger.Stop()
	status(s, fw1)
	status(s, fw2)
	s.show(fmt.Sprintf("\n     sent %d pings, lost %d, longest gap %v", report.Sent, report.Lost,
		report.Gap.Round(time.Millisecond)))

	s.say("Stopping both nodes and removing everything.")
	fw2.Stop()
	fw1.Stop()
}

// dataPlane says where the nodes' data plane sits, and why.
func dataPlane(mode, why string) string {
	text := fmt.Sprintf("The data plane is in mode %s", mode)
	if why != "" {
		text += ", not native: " + why
	}
	return text + "."
}

// status shows what an operator would see.
func status(s *stage, n *lab.Node) {
	s.show(fmt.Sprintf("\n  %s# vipctl status\n%s", n.Name, indent(n.MustCTL("status"))))
}
