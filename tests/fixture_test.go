// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"vipd/tests/executable"
	"vipd/tests/lab"
)

const (
	group = "eth0@1"
	vhid  = 1
	// masterDown is the master-down time of an unskewed node with advbase 1; a skew adds 1/256 s each.
	masterDown = 3 * time.Second
	// upTimeout is how long a node may take from its start to MASTER.
	upTimeout = 45 * time.Second
	// patience is how long a test waits for what has to come. What must come sooner is measured as well, or says the
	// reason for which it came.
	patience = 30 * time.Second
	// toolTimeout is the same for a program that ends by itself.
	toolTimeout = lab.ToolTimeout
)

var (
	vip  = netip.MustParseAddr("192.0.2.100")
	vmac = lab.VirtualMAC(vhid)
	// The addresses of the usual hosts.
	addrA      = netip.MustParseAddr("192.0.2.11")
	addrB      = netip.MustParseAddr("192.0.2.12")
	addrClient = netip.MustParseAddr("192.0.2.50")
)

// skewed returns the master-down time of a node with that advskew.
func skewed(advskew int) time.Duration {
	return masterDown + time.Duration(advskew)*time.Second/256
}

// oneVIP returns a config with the usual group.
func oneVIP(advskew int) lab.NodeConfig {
	return lab.NodeConfig{Groups: []lab.Group{{Addresses: []string{vip.String() + "/24"}, AdvSkew: advskew}}}
}

// inModes runs a core scenario with the data plane on tc ingress, where it is on a veth by default, and in generic XDP:
// the programs of both are exercised on every machine. Native mode needs real NICs (vm_test.go).
func inModes(t *testing.T, test func(t *testing.T, mode string)) {
	t.Helper()
	for _, mode := range []string{"tc", "generic"} {
		t.Run(mode, func(t *testing.T) { test(t, mode) })
	}
}

// inMode sets the mode of the data plane.
func inMode(mode string, c lab.NodeConfig) lab.NodeConfig {
	c.Mode = mode
	return c
}

func noPreempt(c lab.NodeConfig) lab.NodeConfig {
	c.NoPreempt = true
	return c
}

// single is one node and one other host, which is client, injector and observer.
type single struct {
	*lab.Lab
	segment          *lab.Segment
	node             *lab.Node
	client           *lab.Host
	port, clientPort *lab.Port
}

func newSingle(t *testing.T, config lab.NodeConfig) *single {
	t.Helper()
	require(t, needNetNS, needBPF)
	s := &single{Lab: lab.New(t)}
	s.segment = s.NewSegment("lan")
	host := s.NewHost("a")
	s.client = s.NewHost("client")
	s.port = s.segment.Join(host, "eth0", addrA.String()+"/24")
	s.clientPort = s.segment.Join(s.client, "eth0", addrClient.String()+"/24")
	s.node = host.NewNode(bin(t), config)
	return s
}

// startMaster starts the node and makes it MASTER at once: a peer's goodbye spares the wait for the master-down time.
func (s *single) startMaster() *peer {
	s.Helper()
	p := newPeer(s.clientPort, addrClient)
	s.node.Start()
	s.node.WaitState(group, lab.Backup, patience)
	p.goodbye()
	s.node.WaitAnswering(group, patience)
	return p
}

// pair is two nodes and a client.
type pair struct {
	*lab.Lab
	segment                  *lab.Segment
	a, b                     *lab.Node
	client                   *lab.Host
	portA, portB, clientPort *lab.Port
}

func newPair(t testing.TB, a, b lab.NodeConfig) *pair {
	t.Helper()
	require(t, needNetNS, needBPF)
	p := &pair{Lab: lab.New(t)}
	p.segment = p.NewSegment("lan")
	hostA, hostB := p.NewHost("a"), p.NewHost("b")
	p.client = p.NewHost("client")
	p.portA = p.segment.Join(hostA, "eth0", addrA.String()+"/24")
	p.portB = p.segment.Join(hostB, "eth0", addrB.String()+"/24")
	p.clientPort = p.segment.Join(p.client, "eth0", addrClient.String()+"/24")
	p.a, p.b = hostA.NewNode(bin(t), a), hostB.NewNode(bin(t), b)
	return p
}

// start brings a up as MASTER and b as BACKUP that has heard it.
func (p *pair) start() {
	p.Helper()
	p.a.Start()
	goodbye := newPeer(p.clientPort, addrClient)
	p.a.WaitState(group, lab.Backup, patience)
	goodbye.goodbye()
	p.a.WaitAnswering(group, upTimeout)
	p.b.Start()
	p.b.WaitFor(group, "is BACKUP and hears a", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Backup && g.Master != nil && g.Master.Address == addrA.String()
	})
}

// realTime returns a directory with the programs of the directory built, whose vipd runs with the scheduling of
// packaging/vipd.service.
func realTime(t testing.TB, built string) string {
	t.Helper()
	return started(t, built, "chrt -r 55")
}

// started returns a directory with the programs of the directory built, whose vipd is started by a command.
func started(t testing.TB, built, by string) string {
	t.Helper()
	dir := t.TempDir()
	executable.Script(t, filepath.Join(dir, "vipd"), "exec "+by+" "+filepath.Join(built, "vipd")+` "$@"`)
	if err := os.Symlink(filepath.Join(built, "vipctl"), filepath.Join(dir, "vipctl")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// asShipped has the nodes run vipd with the scheduling of packaging/vipd.service. A test needs it if the daemon has to
// do something within an interval of milliseconds or within a lease: an ordinary process of a busy machine may not be
// run in that time.
func asShipped(t testing.TB, nodes ...*lab.Node) {
	t.Helper()
	dir := realTime(t, bin(t))
	for _, n := range nodes {
		n.Replace(dir)
	}
}

// assertUnmoved checks that the nodes' groups have made no transition.
func assertUnmoved(t *testing.T, groups map[*lab.Node]lab.GroupStatus) {
	t.Helper()
	for node, was := range groups {
		if got := node.Group(group); got.State != was.State || !sameTime(got.Since, was.Since) {
			t.Errorf("%s is %s (%s) since %v, was %s since %v",
				node.Name, got.State, got.Reason, got.Since, was.State, was.Since)
		}
	}
}

// hearsMaster is a condition of [lab.Node.WaitFor].
func hearsMaster(g lab.GroupStatus) bool { return g.State == lab.Backup && g.Master != nil }
