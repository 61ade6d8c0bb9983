// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vipd/tests/lab"
)

const (
	// Sizes and durations of BenchmarkScale, and the variables that change them.
	scaleSizes, scaleSizesVar     = "1020,4080,16384", "VIPD_SCALE"
	scaleSeconds, scaleSecondsVar = "15", "VIPD_SCALE_SECONDS"
	scalePriorityVar              = "VIPD_SCALE_PRIORITY" // "ordinary", or as shipped

	// scaleKeepalived is up to how many groups keepalived is measured as well.
	scaleKeepalived = 1020
	scaleSkew       = 10              // of the BACKUP
	scalePatience   = 2 * time.Minute // for thousands of groups
)

// scaleAims are the goals by number of groups.
var scaleAims = map[int]scaleAim{
	1020:  {ratio: "1 x"},
	4080:  {cpu: [2]string{"4 %", "1.5 %"}, memory: "64 MB", late: "50 ms", page: "50 ms"},
	16384: {start: "15 s", cpu: [2]string{"15 %", "15 %"}, late: "200 ms"},
}

// scaleAim has the goals for one number of groups; those without are empty.
type scaleAim struct {
	ratio, start, memory, late, page string
	cpu                              [2]string
}

// BenchmarkScale measures two nodes with many groups, an interval of 1 s, and prints a table. It has no bounds. Up to
// 1,020 groups it measures keepalived with as many VRRP instances on the same links before.
//
// All figures of one table come from one run, so that ratios can be compared between machines.
func BenchmarkScale(b *testing.B) {
	require(b, needNetNS, needBPF, needKeepalived)
	seconds := positiveNumber(b, scaleSecondsVar, cmp.Or(os.Getenv(scaleSecondsVar), scaleSeconds))
	fmt.Printf("%s groups, 255 per interface, interval 1 s, each CPU figure over %d s\n",
		cmp.Or(os.Getenv(scaleSizesVar), scaleSizes), seconds)
	for size := range strings.SplitSeq(cmp.Or(os.Getenv(scaleSizesVar), scaleSizes), ",") {
		groups := positiveNumber(b, scaleSizesVar, size)
		b.Run(size, func(b *testing.B) {
			for b.Loop() {
				newScale(b, groups, time.Duration(seconds)*time.Second).run()
			}
		})
	}
}

func positiveNumber(b *testing.B, name, text string) int {
	b.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 1 {
		b.Fatalf("%s: %q is not a number from 1", name, text)
	}
	return n
}

// scale is one pair of hosts with one cable per 255 groups.
type scale struct {
	*lab.Lab
	b      *testing.B
	groups int
	over   time.Duration // of one measurement of CPU time
	hosts  [2]*lab.Host
	aim    scaleAim
}

func newScale(b *testing.B, groups int, over time.Duration) *scale {
	b.Helper()
	s := &scale{Lab: lab.New(b), b: b, groups: groups, over: over, aim: scaleAims[groups]}
	s.hosts = [2]*lab.Host{s.NewHost("a"), s.NewHost("b")}
	for i := range (groups + allVHIDs - 1) / allVHIDs {
		s.Cable(s.hosts[0], s.hosts[1], fmt.Sprintf("eth%d", i), fmt.Sprintf("10.0.%d.1/24", i),
			fmt.Sprintf("10.0.%d.2/24", i))
	}
	return s
}

// group returns interface, VHID and address of the nth group.
func (*scale) group(n int) (ifname string, vhid int, address string) {
	i, v := n/allVHIDs, n%allVHIDs+1
	return fmt.Sprintf("eth%d", i), v, fmt.Sprintf("198.18.%d.%d/32", i, v)
}

func (s *scale) run() {
	s.b.Helper()
	fmt.Printf("\n%d groups on %d interfaces\n", s.groups, (s.groups+allVHIDs-1)/allVHIDs)
	var theirs [2]float64
	if s.groups <= scaleKeepalived {
		theirs = s.keepalived()
	}
	nodes := s.nodes()
	if code, out := nodes[0].VIPD("--config", nodes[0].ConfigFile(), "--check"); code != 0 {
		fmt.Printf("  vipd refuses the config: %s\n", strings.TrimSpace(out))
		return
	}
	s.start(nodes)
	ours := s.cpu("vipd", nodes[0].Proc(), nodes[1].Proc(), s.aim.cpu)
	if s.groups <= scaleKeepalived {
		row("vipd / keepalived, both nodes", s.aim.ratio, "%.1f x", (ours[0]+ours[1])/(theirs[0]+theirs[1]))
	}
	for i, role := range []string{lab.Master, lab.Backup} {
		p := nodes[i].Proc()
		row("memory of "+role, s.aim.memory, "%.0f MB, and %.0f MB in maps of the kernel",
			float64(p.Resident())/1e6, float64(p.MapBytes())/1e6)
	}
	s.page("CPU of a scrape", nodes[0], "/metrics")
	s.page("CPU of a status page", nodes[0], "/")
	s.takeover(nodes)
}

// row prints one figure and its goal, if it has one.
func row(what, aim, format string, figures ...any) {
	if aim != "" {
		aim = "goal: at most " + aim
	}
	fmt.Printf("  %-32s %-52s %s\n", what, fmt.Sprintf(format, figures...), aim)
}

// keepalived measures VRRP and returns the CPU of MASTER and BACKUP in percent of a core.
func (s *scale) keepalived() [2]float64 {
	s.b.Helper()
	var procs [2]*lab.Proc
	for i, h := range s.hosts {
		instances := make([]lab.VRRP, s.groups)
		for n := range instances {
			ifname, vhid, address := s.group(n)
			instances[n] = lab.VRRP{
				Name: fmt.Sprintf("g%d", n), Interface: ifname, Version: 3, VRID: vhid, Priority: 200 - 100*i,
				Addresses: []string{address},
			}
		}
		procs[i] = h.StartKeepalived(instances...)
		if i == 0 { // the other one would claim, too, beside a node that still starts
			s.entered(procs[0], lab.Master)
		}
	}
	s.entered(procs[1], lab.Backup)
	time.Sleep(6 * time.Second) // its second round of announcements comes after 5 s
	used := s.cpu("keepalived", procs[0], procs[1], [2]string{})
	for _, p := range procs {
		p.Signal(syscall.SIGTERM)
		p.Wait(scalePatience)
	}
	return used
}

// entered waits until all instances have said that they enter a state.
func (s *scale) entered(p *lab.Proc, state string) {
	s.b.Helper()
	s.Eventually(scalePatience, 500*time.Millisecond, func() (bool, string) {
		n := strings.Count(p.Output(), "Entering "+state)
		return n >= s.groups, fmt.Sprintf("%d of %d instances of %s entered %s", n, s.groups, p.Name, state)
	})
}

// cpu lets both run and prints what they use, in percent of a core.
func (s *scale) cpu(what string, master, backup *lab.Proc, aim [2]string) (percent [2]float64) {
	s.b.Helper()
	percent = percentOfCore(s.over, master, backup)
	row(what+", MASTER", aim[0], "%.2f %% of a core", percent[0])
	row(what+", BACKUP", aim[1], "%.2f %% of a core", percent[1])
	return percent
}

// percentOfCore lets two processes run for a time and returns how much CPU each uses, in percent of a core.
func percentOfCore(over time.Duration, master, backup *lab.Proc) (percent [2]float64) {
	procs := [2]*lab.Proc{master, backup}
	var before [2]time.Duration
	began := time.Now()
	for i, p := range procs {
		before[i] = p.CPUOfAll()
	}
	time.Sleep(over)
	for i, p := range procs {
		percent[i] = 100 * (p.CPUOfAll() - before[i]).Seconds() / time.Since(began).Seconds()
	}
	return percent
}

// nodes prepares vipd with the priority of packaging/vipd.service, on the better node first.
func (s *scale) nodes() (nodes [2]*lab.Node) {
	s.b.Helper()
	dir := bin(s.b)
	if os.Getenv(scalePriorityVar) != "ordinary" {
		dir = realTime(s.b, dir)
	}
	for i, h := range s.hosts {
		var c lab.NodeConfig
		for n := range s.groups {
			ifname, vhid, address := s.group(n)
			c.Groups = append(c.Groups, lab.Group{
				Interface: ifname, VHID: vhid, Addresses: []string{address}, AdvSkew: i * scaleSkew,
			})
		}
		nodes[i] = h.NewNode(dir, c)
	}
	return nodes
}

// start brings the first node up as MASTER of all groups and the second as BACKUP.
func (s *scale) start(nodes [2]*lab.Node) {
	s.b.Helper()
	started := s.launch(nodes[0])
	row("start: answers on its socket", "", "%.1f s", time.Since(started).Seconds())
	groups := s.await(nodes[0], "left INIT", func(g lab.GroupStatus) bool { return g.State != lab.Init })
	row("start: all groups run", s.aim.start, "%.1f s", latest(groups).Sub(started).Seconds())
	groups = s.await(nodes[0], "is MASTER", answers)
	row("start: MASTER of all", "", "%.1f s", latest(groups).Sub(started).Seconds())
	s.launch(nodes[1])
	s.await(nodes[1], "hears the MASTER", hearsMaster)
}

// launch is Node.Start with more patience, for thousands of groups.
func (s *scale) launch(n *lab.Node) (started time.Time) {
	s.b.Helper()
	p := n.Launch()
	s.Eventually(scalePatience, 20*time.Millisecond, func() (bool, string) {
		if !p.Running() {
			s.b.Fatalf("vipd on %s ended:\n%s", n.Name, p.Output())
		}
		_, err := n.TryStatus()
		return err == nil, fmt.Sprintf("vipd on %s answers: %v", n.Name, err)
	})
	return p.Started
}

func answers(g lab.GroupStatus) bool { return g.State == lab.Master && g.Dataplane.Answering }

// latest returns the time of the last transition.
func latest(groups []lab.GroupStatus) (at time.Time) {
	for _, g := range groups {
		if g.Since.After(at) {
			at = g.Since
		}
	}
	return at
}

// await waits until all groups of a node meet the condition and returns them. It asks rarely: a status of thousands of
// groups takes time itself.
func (s *scale) await(n *lab.Node, what string, condition func(lab.GroupStatus) bool) (groups []lab.GroupStatus) {
	s.b.Helper()
	s.Eventually(scalePatience, 500*time.Millisecond, func() (bool, string) {
		status, err := n.TryStatus()
		if err != nil {
			return false, fmt.Sprintf("status of %s: %v", n.Name, err)
		}
		groups = status.Groups
		met := 0
		for _, g := range groups {
			if condition(g) {
				met++
			}
		}
		return met == s.groups, fmt.Sprintf("%d of %d groups of %s: %s", met, s.groups, n.Name, what)
	})
	return groups
}

// page asks for a page once a second (scrapes within a second share one) and prints what each costs the node beyond
// what it used as long without, and how often the election loop woke up late meanwhile.
func (s *scale) page(what string, n *lab.Node, path string) {
	s.b.Helper()
	const times, spacing = 8, 1050 * time.Millisecond
	start := n.Proc().CPUOfAll()
	time.Sleep(times * spacing)
	idle := n.Proc().CPUOfAll() - start
	lagBefore := lagCounts(n.Metrics())
	began, before, size := time.Now(), n.Proc().CPUOfAll(), 0
	for i := range times {
		code, body := n.Get(path)
		if code != http.StatusOK {
			s.b.Fatalf("GET %s: status %d", path, code)
		}
		size = len(body)
		time.Sleep(time.Until(began.Add(time.Duration(i+1) * spacing)))
	}
	used := n.Proc().CPUOfAll() - before - idle
	lag := lagCounts(n.Metrics())
	late := (lag["+Inf"] - lagBefore["+Inf"]) - (lag["0.005"] - lagBefore["0.005"])
	row(what, s.aim.page, "%.0f ms for %.1f MB; loop over 5 ms late %.0f times", used.Seconds()*1000/times,
		float64(size)/1e6, late)
}

// takeover kills the MASTER and prints when the other node had taken over, each group against its own master-down time
// after the last advertisement that it heard.
func (s *scale) takeover(nodes [2]*lab.Node) {
	s.b.Helper()
	killed := nodes[0].Kill9()
	time.Sleep(100 * time.Millisecond)
	heard := map[string]time.Time{}
	for _, g := range nodes[1].Status().Groups {
		if g.Master == nil || g.State != lab.Backup {
			s.b.Fatalf("%s is %s (%s) 100 ms after kill -9", g.Group, g.State, g.Reason)
		}
		heard[g.Group] = g.Master.LastSeen
	}
	groups := s.await(nodes[1], "taken over", answers)
	late := make([]float64, len(groups)) // in ms
	for i, g := range groups {
		late[i] = (g.Since.Sub(heard[g.Group]) - skewed(scaleSkew)).Seconds() * 1000
	}
	slices.Sort(late)
	row("kill -9: all taken over after", "", "%.3f s (master-down time %.3f s)", latest(groups).Sub(killed).Seconds(),
		skewed(scaleSkew).Seconds())
	row("kill -9: late, median and worst", s.aim.late, "%.1f ms, %.1f ms", late[len(late)/2], late[len(late)-1])
}
