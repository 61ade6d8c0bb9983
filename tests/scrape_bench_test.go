// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// BenchmarkScrape measures a scrape of a daemon with 4,096 VIPs over HTTP, the reads of the kernel's maps included; it
// must take under 100 ms.
func BenchmarkScrape(b *testing.B) {
	for _, perGroup := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("%d_addresses_a_group", perGroup), func(b *testing.B) { benchmarkScrape(b, perGroup) })
	}
}

func benchmarkScrape(b *testing.B, perGroup int) {
	built, err := binaries()
	if err != nil {
		b.Fatal(err)
	}
	const vips = 4096
	l := lab.New(b)
	host := l.NewHost("a")
	lan := l.NewSegment("lan")
	var config lab.NodeConfig
	for first := 0; first < vips; first += perGroup {
		n := first / perGroup
		g := lab.Group{Interface: fmt.Sprintf("eth%d", n/255), VHID: n%255 + 1, AdvBase: 60}
		if n%255 == 0 {
			lan.Join(host, g.Interface, fmt.Sprintf("192.0.2.%d/24", n/255+1))
		}
		for i := range perGroup {
			g.Addresses = append(g.Addresses, fmt.Sprintf("10.%d.%d.%d/8", 1+(first+i)>>14, (first+i)>>7&127+1, (first+i)&127+1))
		}
		config.Groups = append(config.Groups, g)
	}
	n := host.NewNode(built, config)
	n.Start()
	backup := regexp.MustCompile(`(?m)^vipd_group_state\{.*state="BACKUP",.*\} 1$`)
	l.Eventually(patience, 100*time.Millisecond, func() (bool, string) {
		is := len(backup.FindAllString(n.Metrics(), -1))
		return is == len(config.Groups), fmt.Sprintf("%d of %d groups are BACKUP", is, len(config.Groups))
	})
	size, before := 0, n.Proc().CPU()
	for b.Loop() {
		code, body := n.Get("/metrics")
		if code != http.StatusOK || strings.Count(body, "\nvipd_arp_requests_total{") != vips {
			b.Fatalf("status %d, %d VIPs", code, strings.Count(body, "\nvipd_arp_requests_total{"))
		}
		size = len(body)
	}
	// On a machine that has other things to do, this is the figure to compare.
	b.ReportMetric(float64((n.Proc().CPU()-before).Microseconds())/1000/float64(b.N), "daemon-cpu-ms/op")
	b.ReportMetric(float64(size)/1e6, "MB")
	n.Kill9()
}
