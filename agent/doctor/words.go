// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

func adverts(n uint64) string {
	if n == 1 {
		return "1 advert"
	}
	return fmt.Sprintf("%d adverts", n)
}

func join(list []netip.Addr) string {
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}

// span formats a duration.
func span(d time.Duration) string { return fmt.Sprintf("%.1f s", max(0, d).Seconds()) }

func ago(f *Facts, at time.Time) string { return span(f.Time.Sub(at)) }

// senders lists the sources of the adverts refused for a reason, each with its count.
func senders(g *Group, reason string) string {
	counts := map[netip.Addr]int{}
	var order []netip.Addr
	for i := range g.Rejects {
		r := &g.Rejects[i]
		if r.Reason != reason {
			continue
		}
		if counts[r.Src] == 0 {
			order = append(order, r.Src)
		}
		counts[r.Src]++
	}
	words := make([]string, len(order))
	for i, a := range order {
		words[i] = fmt.Sprintf("%s (%d)", a, counts[a])
	}
	return few(words)
}

// few joins a list, and shortens one that is too long to read.
func few(words []string) string {
	const most = 5
	if more := len(words) - most; more > 1 {
		words = append(slices.Clone(words[:most]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}

// refused is the evidence that a counter rose, with the senders if they are known.
func refused(f *Facts, g *Group, reason string) []string {
	out := []string{fmt.Sprintf("%s refused as %s in %s", adverts(f.rose(g, reason)), reason, span(g.RiseTime))}
	if s := senders(g, reason); s != "" {
		out = append(out, "from "+s)
	}
	return out
}

// ttls lists the TTLs for which adverts were refused.
func ttls(g *Group) string {
	var seen []uint8
	for i := range g.Rejects {
		if r := &g.Rejects[i]; r.Reason == refusedTTL && !slices.Contains(seen, r.TTL) {
			seen = append(seen, r.TTL)
		}
	}
	words := make([]string, len(seen))
	for i, t := range seen {
		words[i] = fmt.Sprint(t)
	}
	return strings.Join(words, ", ")
}

// heardLately reports whether the last other speaker still sends.
func heardLately(f *Facts, g *Group) bool {
	return g.Master != nil && !g.Master.goodbye() &&
		f.Time.Sub(g.Master.LastSeen) < 3*max(g.Master.Interval(), g.Interval)
}

const goodbyeValue = 255

func (s *Speaker) goodbye() bool { return s.AdvBase == goodbyeValue && s.AdvSkew == goodbyeValue }
