// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/tests/lab"
)

// used is the processor time of a process by the scheduling policy of its threads.
type used struct{ realTime, ordinary time.Duration }

func (u used) minus(was used) used { return used{u.realTime - was.realTime, u.ordinary - was.ordinary} }

func (u used) total() time.Duration { return u.realTime + u.ordinary }

// threadsOf reads schedstat (in ns) and the policy of every thread. The threads of ordinary priority are those of work
// that has ended, too: they are what real-time threads have not used.
func threadsOf(t *testing.T, p *lab.Proc) (u used) {
	t.Helper()
	pid := p.PID()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(task + "/schedstat")
		attr, aerr := unix.SchedGetAttr(tid, 0)
		if err != nil || aerr != nil { // the thread has ended
			continue
		}
		ran, _, _ := strings.Cut(string(data), " ")
		ns, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if attr.Policy != unix.SCHED_NORMAL {
			u.realTime += time.Duration(ns)
		}
	}
	u.ordinary = p.CPU() - u.realTime
	return u
}

// hammer asks over a connection as fast as the answers come, until ctx ends.
func hammer(ctx context.Context, conn net.Conn, host string, paths []string, answered, bytes *atomic.Int64) error {
	transport := &http.Transport{
		MaxConnsPerHost: 1, DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	for i := 0; ctx.Err() == nil; i++ {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+paths[i%len(paths)], nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		if resp.StatusCode == http.StatusOK {
			answered.Add(1)
		}
		bytes.Add(n)
	}
	return nil
}

// Eight connections that ask for page, metrics and status of 500 groups as fast as they can, four on the HTTP listener
// and four on the control socket, take no more than a quarter of a core from a daemon with real-time priority, their
// own work as ordinary threads; other programs go on, and so does a MASTER with an interval of 51 ms.
func TestClientsTakeAQuarterOfACore(t *testing.T) {
	require(t, needNetNS, needBPF)
	l := lab.New(t)
	host, lan := l.NewHost("a"), l.NewSegment("lan")
	lan.Join(host, "eth0", addrA.String()+"/24")
	config := lab.NodeConfig{
		Groups: []lab.Group{{Addresses: []string{vip.String() + "/24"}, AdvSkew: 13, Extra: "advbase = 0"}},
	}
	for i := range 500 {
		g := lab.Group{
			Interface: fmt.Sprintf("eth%d", 1+i/125), VHID: i%125 + 1, AdvBase: 60,
			Addresses: []string{fmt.Sprintf("10.64.%d.%d/24", i/125, i%125+1)},
		}
		if i%125 == 0 {
			lan.Join(host, g.Interface, fmt.Sprintf("192.0.2.%d/24", 101+i/125))
		}
		config.Groups = append(config.Groups, g)
	}
	n := host.NewNode(realTime(t, bin(t)), config)
	n.Start()
	n.WaitAnswering(group, patience)
	host.SetUp("lo")
	hog := host.Spawn("hog", "timeout", "120", "sh", "-c", "while :; do :; done")
	hogs := []*lab.Proc{hog, host.Spawn("hog", "timeout", "120", "sh", "-c", "while :; do :; done")}
	hogTime := func() (sum time.Duration) {
		for _, h := range hogs {
			sum += childrenOf(t, h.PID())
		}
		return sum
	}

	const span = 10 * time.Second
	// The hogs have what they use of the time that nothing else on this machine takes meanwhile.
	measure := func() (vipd used, hogs float64, took time.Duration) {
		began, before, hogged, strange := time.Now(), threadsOf(t, n.Proc()), hogTime(), machineTime(t)
		mine := ownTime(t)
		time.Sleep(span) // what is measured is what happens in that time
		vipd, had := threadsOf(t, n.Proc()).minus(before), hogTime()-hogged
		now := machineTime(t)
		strangers := now.busy - strange.busy - had - vipd.total() - (ownTime(t) - mine)
		return vipd, had.Seconds() / (now.all - strange.all - max(0, strangers)).Seconds(), time.Since(began)
	}
	idle, alone, idleSpan := measure()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	web, err := host.Dial(netip.MustParseAddrPort(lab.MetricsAddress), 4)
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	var pages, reads, bytes atomic.Int64
	ask := func(conn net.Conn, host string, paths []string, answered *atomic.Int64) {
		clients.Go(func() {
			if err := hammer(ctx, conn, host, paths, answered, &bytes); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	for _, conn := range web {
		ask(conn, lab.MetricsAddress, []string{"/metrics", "/", "/api/status", "/healthz", "/group?name=" + group}, &pages)
	}
	for range 4 {
		conn, err := net.Dial("unix", n.Socket())
		if err != nil {
			t.Fatal(err)
		}
		ask(conn, "vipd", []string{"/v1/status", "/v1/history", "/v1/groups/" + group}, &reads)
	}
	time.Sleep(time.Second) // a burst after a rest is no part of the share
	before := lagCounts(n.Metrics())
	busy, beside, busySpan := measure()
	after := lagCounts(n.Metrics())
	cancel()
	clients.Wait()

	share := func(d, of time.Duration) float64 { return d.Seconds() / of.Seconds() }
	http := share(busy.total(), busySpan) - share(idle.total(), idleSpan)
	realTime := share(busy.realTime, busySpan) - share(idle.realTime, idleSpan)
	left := beside / alone
	t.Logf("HTTP work %.1f%% of a core, %.1f%% with real-time priority; %d pages, %d reads, %.1f MB; "+
		"other programs keep %.0f%% of what they had; wake-ups %v, over 10 ms %v",
		100*http, 100*realTime, pages.Load(), reads.Load(), float64(bytes.Load())/1e6, 100*left,
		after["+Inf"]-before["+Inf"], after["+Inf"]-before["+Inf"]-(after["0.01"]-before["0.01"]))
	if pages.Load() < 20 || reads.Load() < 20 {
		t.Errorf("%d pages and %d reads were answered: too few to say anything", pages.Load(), reads.Load())
	}
	if http > 0.25 {
		t.Errorf("clients cost %.1f%% of a core, want a quarter at most", 100*http)
	}
	// Garbage is collected at real-time priority, between the requests.
	if realTime > 0.5*http {
		t.Errorf("%.1f%% of a core at real-time priority for clients, of %.1f%%", 100*realTime, 100*http)
	}
	// Three quarters on a machine that does nothing else.
	if left < 0.5 {
		t.Errorf("other programs keep %.0f%% of what they had", 100*left)
	}
	if out := n.Proc().Output(); strings.Contains(out, "from=MASTER") {
		t.Error("the fast group did not stay MASTER")
	}
}

// machine is the processor time of the CPUs that this process may use: in all, and without what they idled.
type machine struct{ all, busy time.Duration }

func machineTime(t *testing.T) (m machine) {
	t.Helper()
	cpus, err := lab.CPUs()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, cpu := range cpus {
		_, line, ok := strings.Cut(string(data), fmt.Sprintf("\ncpu%d ", cpu))
		line, _, _ = strings.Cut(line, "\n")
		fields := strings.Fields(line)
		if !ok || len(fields) < 8 {
			t.Fatalf("no CPU %d in /proc/stat:\n%s", cpu, data)
		}
		for i, field := range fields[:8] { // user, nice, system, idle, iowait, irq, softirq, steal
			ticks, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			m.all += time.Duration(ticks) * 10 * time.Millisecond
			if i != 3 && i != 4 {
				m.busy += time.Duration(ticks) * 10 * time.Millisecond
			}
		}
	}
	return m
}

// ownTime returns the processor time of this process, which is the clients.
func ownTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// childrenOf returns the processor time of the children of a process that still run: `timeout` starts the one that
// counts.
func childrenOf(t *testing.T, pid int) (sum time.Duration) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	for child := range strings.FieldsSeq(string(data)) {
		stat, err := os.ReadFile("/proc/" + child + "/schedstat")
		if err != nil {
			t.Fatal(err)
		}
		ran, _, _ := strings.Cut(string(stat), " ")
		ns, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}
