// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/web"
	"vipd/tests/lab"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
)

// standIn is a node that has only a status, which is another at every reading.
type standIn struct {
	web.Backend // what is asked of it besides is a fault of the test

	mu     sync.Mutex
	status api.Status
	reads  int
}

// manyGroups are so many of one address each, masters and backups by turns, the last address first.
func manyGroups(groups int) *standIn {
	s := &standIn{
		status: api.Status{Version: "9.8.7", Node: "fw1", Enabled: true, Preempt: true, Demotions: []api.Demotion{}},
	}
	for i := range groups {
		n := groups - 1 - i
		address := netip.AddrFrom4([4]byte{10, 64, byte(n / 128), byte(n%128 + 1)}).String()
		g := api.Group{
			Name: fmt.Sprintf("eth%d.%d@%d", i/1000, i/100, i%255+1), Interface: fmt.Sprintf("eth%d.%d", i/1000,
				i/100), VHID: i%255 + 1,
			State: api.StateMaster, Reason: "master_timeout", Since: time.Now().Add(-time.Hour),
			Description: "a customer's gateway",
			Addresses:   []string{address + "/24"}, AdvBase: 1, VIPs: []api.VIP{{Address: address}},
			Dataplane: api.Dataplane{Mode: "native", Egress: "tcx", Answering: true},
		}
		if i%2 == 1 {
			g.State, g.Reason, g.Dataplane.Answering = api.StateBackup, "startup", false
			g.Master = &api.Master{Address: "192.0.2.12", AdvBase: 1, LastSeen: time.Now()}
		}
		s.status.Groups = append(s.status.Groups, g)
	}
	return s
}

// Status implements web.Backend: every master was heard since the last time, and every address asked for.
func (s *standIn) Status(context.Context) (api.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	st := s.status
	st.Groups = slices.Clone(s.status.Groups)
	for i := range st.Groups {
		g := &st.Groups[i]
		if g.Master != nil {
			g.Master = &api.Master{Address: g.Master.Address, AdvBase: 1, LastSeen: time.Now()}
		}
		g.VIPs = slices.Clone(g.VIPs)
		g.VIPs[0].ARPRequests = uint64(s.reads * i)
	}
	return st, nil
}

// set changes a group.
func (s *standIn) set(group int, change func(*api.Group)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status.Groups[group])
}

func (*standIn) History(context.Context, string, int) (api.History, error) { return api.History{}, nil }

func (*standIn) Incidents(context.Context) (api.Incidents, error) { return api.Incidents{}, nil }

func (*standIn) Events(context.Context) (api.Event, <-chan api.Event, func()) {
	return api.Event{}, nil, func() {}
}

// The page of a node with 4,096 addresses that all change every second: filter, order, width, and a browser that has
// time left.
func TestThousandsOfAddressesInABrowser(t *testing.T) {
	require(t, needChromium, needNetNS)
	t.Parallel()
	l := lab.New(t)
	host := l.NewHost("a")
	host.SetUp("lo")
	node := manyGroups(4096)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	at := netip.MustParseAddrPort("127.0.0.1:9112")
	listener := listenFrom(t, host, at)
	go func() { ended <- web.New(node, web.Options{Log: slog.New(slog.DiscardHandler)}).Run(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	b := newBrowser(t, host)
	b.open("http://" + at.String())
	const rows = `document.querySelectorAll("#rows tr")`
	b.until(
		"the first of 41 pages",
		rows+`.length === 100 &&
			document.getElementById("pager").innerText.includes("4096 addresses, page 1 of 41") &&
			document.documentElement.classList.contains("is-live")`,
		patience,
	)
	for _, width := range []int64{360, 1024, 2560} {
		b.fits("4,096 addresses", width)
	}
	b.do(chromedp.EmulateViewport(1280, 900))
	updates(b)

	first := func(address string) string {
		return fmt.Sprintf(`(%s[0].querySelector(".c-address").firstChild.data.trim() === "%s/24")`, rows, address)
	}
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=q]"), "10.64.15.78 mast"))
	b.until("one row", rows+`.length === 1 && `+first("10.64.15.78"), patience)
	order := func(by string) {
		eval[bool](b, fmt.Sprintf(`document.querySelector("input[name=q]").value = "";
			((o) => { o.value = %q; o.dispatchEvent(new Event("input", {bubbles: true})); return true })(
				document.querySelector("select[name=sort]"))`, by))
	}
	order("address")
	b.until(
		"the order of addresses",
		rows+`.length === 100 && `+first("10.64.0.1")+` && `+rows+`[99].innerText.includes("10.64.0.100/24")`,
		patience,
	)
	order("problems")
	b.until("some order", rows+`.length === 100 && !`+first("10.64.8.2"), patience)
	node.set(4096-1-(8*128+1), func(g *api.Group) { // on the page it is far behind
		g.State, g.Reason, g.Dataplane.Answering = api.StateMaster, "master_timeout", false
	})
	b.until("the problem first", first("10.64.8.2"), patience)
	b.noProblems()
}

// updates watches some of them, and holds the page's thread to less than half of the time between them, by its
// processor time: other load of the machine does not count.
func updates(b *browser) {
	b.Helper()
	call(b, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
	eval[bool](
		b,
		`window.beats = 0
		new MutationObserver(() => beats++).observe(document.documentElement, {attributeFilter: ["class"]}); true`,
	)
	const elements = `document.querySelectorAll("*").length`
	b.until("an update", "beats > 0", patience)
	before, had := taskTime(b), eval[int](b, elements)
	from, began := eval[int](b, "beats"), time.Now()
	b.until("five updates more", fmt.Sprintf("beats >= %d", from+5), patience)
	seen, took := eval[int](b, "beats")-from, time.Since(began)
	busy := taskTime(b) - before
	b.Logf(
		"%d updates in %v, %v of processor time each",
		seen,
		took.Round(time.Millisecond),
		(busy / time.Duration(seen)).Round(100*time.Microsecond),
	)
	if busy <= 0 || busy > took/2 {
		b.Errorf("%d updates in %v take the page %v", seen, took, busy)
	}
	if has := eval[int](b, elements); has < 1000 || has > had+had/4 {
		b.Errorf("the page has grown from %d elements to %d", had, has)
	}
}

// taskTime returns what the page's thread has run.
func taskTime(b *browser) (sum time.Duration) {
	b.Helper()
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		got, err := cdp.Call(ctx, target, performance.GetMetrics, cdp.Empty{})
		if err != nil {
			return err
		}
		for _, m := range got.Metrics {
			if m.Name == "TaskDuration" {
				sum = time.Duration(m.Value * float64(time.Second))
			}
		}
		return nil
	}))
	return sum
}
