// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"os"
	"testing"
	"time"

	"vipd/tests/lab"
)

// BenchmarkMaster measures what a MASTER of a thousand groups on four interfaces costs that is alone, at one advert per
// group and second. VIPD_BIN_BEFORE names the directory of another vipd, which takes its turn in the same run.
func BenchmarkMaster(b *testing.B) {
	built, err := binaries()
	if err != nil {
		b.Fatal(err)
	}
	if before := os.Getenv("VIPD_BIN_BEFORE"); before != "" {
		b.Run("before", func(b *testing.B) { benchmarkMaster(b, before) })
	}
	b.Run("now", func(b *testing.B) { benchmarkMaster(b, built) })
}

func benchmarkMaster(b *testing.B, bin string) {
	const groups, perInterface, watched = 1000, 250, 10 * time.Second
	l := lab.New(b)
	host := l.NewHost("a")
	config := lab.NodeConfig{}
	for i := range groups {
		g := lab.Group{Interface: fmt.Sprintf("eth%d", i/perInterface), VHID: i%perInterface + 1}
		g.Addresses = []string{fmt.Sprintf("198.18.%d.%d/32", i/perInterface, g.VHID)}
		if g.VHID == 1 {
			lan := l.NewSegment(fmt.Sprintf("lan%d", i/perInterface))
			lan.Join(host, g.Interface, fmt.Sprintf("192.0.2.%d/24", i/perInterface+1))
		}
		config.Groups = append(config.Groups, g)
	}
	n := host.NewNode(bin, config)
	n.Start()
	waitAll(n, l, "answers", patience, func(g lab.GroupStatus) bool { return g.State == lab.Master })
	time.Sleep(3 * time.Second) // three announcements follow each claim
	for b.Loop() {
		used, began := n.Proc().CPU(), time.Now()
		time.Sleep(watched)
		used, took := n.Proc().CPU()-used, time.Since(began)
		b.ReportMetric(100*used.Seconds()/took.Seconds(), "%core")
		b.ReportMetric(float64(used.Microseconds())/took.Seconds()/groups, "us/advert")
	}
	n.Kill9()
}
