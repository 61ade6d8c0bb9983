// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

const (
	webPort  = 9112
	webToken = "a token for the tests"
)

// onTheNet serves the page to the segment; with controls if a token file is named.
func onTheNet(c lab.NodeConfig, keys string) lab.NodeConfig {
	c.Listen = fmt.Sprintf("0.0.0.0:%d", webPort)
	c.HTTP = keys
	return c
}

func pageOf(addr netip.Addr) string { return fmt.Sprintf("http://%s:%d", addr, webPort) }

// controls turns the controls on with the usual token.
func controls(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(webToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("controls = true\ntoken_file = %q\n", file)
}

// The page of the BACKUP in a browser: it fits every screen, is accessible, turns to MASTER by itself when the
// other node dies, is grey when this one dies, and comes back with it.
func TestStatusPageStaysTrueInABrowser(t *testing.T) {
	require(t, needChromium, needAxe)
	t.Parallel()
	keys := controls(t)
	two := func(c lab.NodeConfig, other netip.Addr) lab.NodeConfig {
		c = onTheNet(c, keys)
		c.Groups[0].Description = "LAN gateway <b>"
		c.Groups[0].Addresses = append(c.Groups[0].Addresses, "192.0.2.101/24")
		c.Extra = fmt.Sprintf("[web]\nnodes = [%q]\n", pageOf(other))
		return c
	}
	p := newPair(t, two(oneVIP(0), addrB), two(oneVIP(100), addrA))
	p.start()
	b := newBrowser(t, p.client)
	b.open(pageOf(addrB))
	b.until(
		"a live BACKUP",
		stateIs("BACKUP")+` && document.documentElement.classList.contains("is-live")`,
		patience,
	)
	for _, want := range []string{
		"192.0.2.100/24", "192.0.2.101/24", "LAN gateway <b>", "192.0.2.11",
		"No problems found", "1/100", "Preempt",
	} {
		if !strings.Contains(b.text(), want) {
			t.Errorf("the page does not say %q:\n%s", want, b.text())
		}
	}
	size := eval[int](b, `performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
		.reduce((n, e) => n + e.decodedBodySize, 0)`)
	if size > 100<<10 || size < 10<<10 {
		t.Errorf("the page has %d bytes in all", size)
	}
	foreign := eval[string](b, `performance.getEntriesByType("resource").map(e => e.name)
		.filter(n => !n.startsWith(location.origin)).join()`)
	if foreign != "" {
		t.Errorf("the page asks others: %s", foreign)
	}
	looks(b)
	b.open(pageOf(addrB))
	b.until(
		"a live BACKUP",
		stateIs("BACKUP")+` && document.documentElement.classList.contains("is-live")`,
		patience,
	)
	dies(b, p)
}

// looks opens every page in each width and in both schemes.
func looks(b *browser) {
	b.Helper()
	b.open(pageOf(addrB) + "/login")
	b.shot("login")
	b.axe("/login")
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=token]"), webToken+"\n"))
	b.until("the controls", `document.querySelector("#controls a.button[data-dialog]")`, patience)
	for path, ready := range map[string]string{
		"/":                           `document.querySelector("#rows tr")`,
		"/group?name=eth0@1":          `document.querySelectorAll("#detail .charts figure").length > 3`,
		"/nodes":                      `document.querySelectorAll("#compare th[scope=col]").length === 2`,
		"/widget":                     `document.querySelector("#widget .state")`,
		"/confirm?action=disable":     `document.querySelector("#ask button")`,
		"/confirm?action=reset&x=404": `document.body.innerText.includes("no such control")`,
	} {
		b.open(pageOf(addrB) + path)
		b.until("its content", ready, patience)
		for _, width := range []int64{360, 1024, 2560} {
			b.fits(path, width)
			b.shot(fmt.Sprintf("%s-%d",
				strings.Trim(strings.NewReplacer("/", "", "?", "-", "=", "-", "@", "-", "&", "-").Replace(path+"-"), "-"), width))
		}
		if strings.HasSuffix(path, "404") {
			continue
		}
		b.do(chromedp.EmulateViewport(1280, 900))
		schemes := []string{"dark", "light"}
		if path != "/" && path != "/nodes" { // those two have all the colours
			schemes = schemes[:1]
		}
		for _, scheme := range schemes {
			b.scheme(scheme)
			b.axe(path + " " + scheme)
		}
	}
	b.noProblems()
}

// dies kills the MASTER and then the node whose page is open.
func dies(b *browser, p *pair) {
	b.Helper()
	eval[bool](b, `window.theSamePage = true; document.querySelector("#rows a").focus(); true`)
	at := p.a.Kill9()
	b.until("MASTER", stateIs("MASTER"), patience)
	b.Logf("the page says MASTER %v after kill -9 of the other node", time.Since(at))
	p.b.WaitAnswering(group, patience)
	b.until(
		"the transition",
		`document.querySelector("#transitions li .state:last-of-type") &&
			document.querySelector("#transitions").innerText.includes("master timed out")`,
		patience,
	)
	b.until(
		"what is read out",
		`document.getElementById("say").textContent.includes("eth0@1 is now MASTER") || document.title.includes("MASTER")`,
		patience,
	)
	if !eval[bool](b, `window.theSamePage === true`) {
		b.Error("the page was loaded anew")
	}
	if !eval[bool](b, `document.activeElement.closest("#rows") !== null`) {
		b.Error("the focus was lost when the row changed")
	}
	if eval[bool](b, `document.documentElement.classList.contains("gone")`) {
		b.Error("a live page is called old: the next step proves nothing")
	}
	b.axe("after the takeover")
	b.shot("master")

	old := `document.documentElement.classList.contains("gone") &&
		/No update from vipd/.test(document.getElementById("stale").innerText) &&
		getComputedStyle(document.querySelector(".aging")).filter.includes("grayscale(1)") &&
		document.title.includes("out of date")`
	// A tab that sleeps while the daemon hangs wakes up with what it showed, and must know that this is old.
	call(b, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: page.SetWebLifecycleStateStateFrozen})
	p.b.Pause()
	time.Sleep(5 * time.Second) // more than the page bears
	call(b, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: page.SetWebLifecycleStateStateActive})
	if took := b.until("an old page", old, patience); took > 2*time.Second {
		b.Errorf("a tab that woke up called its content old only after %v", took)
	}
	b.shot("gone")
	p.b.Resume()
	b.until("a live page", `document.documentElement.classList.contains("is-live")`, patience)
	p.b.Kill9()
	b.Logf("the page shows after %v that the daemon is dead", b.until("an old page", old, patience))
	// What greys the page out is the style sheet: it does so as well when the script has died.
	eval[bool](
		b,
		`document.documentElement.classList.remove("gone")
		const n = setInterval(() => {}, 1e9)
		for (let i = 0; i <= n; i++) clearInterval(i)
		true`,
	)
	b.until(
		"an old page without the script",
		`getComputedStyle(document.querySelector(".aging")).filter.includes("grayscale(1)")`,
		patience,
	)
	p.b.Start()
	b.until("a live page", `window.theSamePage && document.documentElement.classList.contains("is-live")`, patience)
	b.noProblems()
}

// Many addresses: the table has pages, is filtered as one types and ordered, and what did not change is not touched.
func TestManyAddressesInABrowser(t *testing.T) {
	require(t, needChromium)
	t.Parallel()
	c := onTheNet(oneVIP(0), "")
	c.Groups[0].Addresses = nil
	for i := range 230 {
		c.Groups[0].Addresses = append(c.Groups[0].Addresses, fmt.Sprintf("198.51.100.%d/24", 231-i))
	}
	s := newSingle(t, c)
	s.node.Start()
	b := newBrowser(t, s.client)
	b.open(pageOf(addrA))
	const rows = `document.querySelectorAll("#rows tr")`
	b.until(
		"a hundred rows",
		rows+`.length === 100 && document.getElementById("pager").innerText.includes("230 addresses, page 1 of 3")`,
		patience,
	)
	b.until("MASTER in all rows", `[...`+rows+`].every(r => r.innerText.includes("MASTER"))`, upTimeout)
	eval[bool](b, rows+`.forEach(r => r.seen = true); true`)
	time.Sleep(3 * time.Second)
	if kept := eval[int](b, `[...`+rows+`].filter(r => r.seen).length`); kept != 100 {
		t.Errorf("%d of 100 rows were made anew although nothing changed", 100-kept)
	}
	if first := eval[string](b,
		rows+`[0].querySelector(".c-address").firstChild.data.trim()`); first != "198.51.100.231/24" {
		t.Errorf("the first row is %s, not that of the config", first)
	}
	b.click("#p\\:next")
	b.until(
		"the second page",
		`document.getElementById("pager").innerText.includes("page 2 of 3") && `+
			rows+`[0].innerText.includes("198.51.100.131/24")`,
		patience,
	)
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=q]"), "100.205 mast"))
	b.until(
		"one row",
		rows+`.length === 1 && `+rows+`[0].innerText.includes("198.51.100.205/24") && location.search.includes("q=100.205")`,
		patience,
	)
	if !eval[bool](b, `document.activeElement.name === "q"`) {
		t.Error("the field lost the focus while typing")
	}
	eval[bool](
		b,
		`document.querySelector("input[name=q]").value = ""
		const o = document.querySelector("select[name=sort]")
		o.value = "address"
		o.dispatchEvent(new Event("input", {bubbles: true}))
		true`,
	)
	b.until(
		"the order of addresses",
		rows+`.length === 100 && `+rows+`[0].innerText.includes("198.51.100.2/24") && `+
			rows+`[99].innerText.includes("198.51.100.101/24")`,
		patience,
	)
	// The same by a plain form.
	b.scripts(false)
	b.open(pageOf(addrA) + "/?sort=address&page=3")
	if n := eval[int](b, rows+`.length`); n != 30 {
		t.Errorf("the last page has %d rows", n)
	}
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=q]"), "100.77\n"))
	b.until("one row", rows+`.length === 1 && `+rows+`[0].innerText.includes("198.51.100.77/24")`, patience)
	b.noProblems()
}

// Every control is pressed, in the dialog and as a plain form without script, and its effect is seen on the wire.
func TestControlsActInABrowser(t *testing.T) {
	require(t, needChromium, needAxe)
	t.Parallel()
	keys := controls(t)
	p := newPair(t, onTheNet(oneVIP(0), keys), onTheNet(oneVIP(10), keys))
	p.start()
	b := newBrowser(t, p.client)
	sniffer := p.portA.Sniff()
	b.open(pageOf(addrA))
	b.click(`#controls a[href="/login"]`)
	b.until("the login", `document.querySelector("input[name=token]")`, patience)
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=token]"), "not this one\n"))
	b.until("a refusal", `document.body.innerText.includes("The token is wrong")`, patience)
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=token]"), webToken+"\n"))
	b.until("the controls", `document.getElementById("b:disable")`, patience)

	press := func(id, question, says string) {
		t.Helper()
		b.until("live", `document.documentElement.classList.contains("is-live")`, patience)
		b.click(`[id="` + id + `"]`)
		b.until("the question",
			fmt.Sprintf(`document.querySelector("dialog[open]") && document.querySelector("dialog").innerText.includes(%q)`,
				question), patience)
		b.shot("ask-" + strings.ReplaceAll(id, ":", "-"))
		b.click("dialog button")
		b.until(
			"the answer",
			fmt.Sprintf(`(document.querySelector(".flash") || {innerText: ""}).innerText.includes(%q)`, says),
			patience,
		)
	}
	sent := func(what string, after time.Time, is func(lab.Advert) bool) {
		t.Helper()
		sniffer.Await(patience, what, func(f lab.Frame) bool {
			ad, ok := f.Advert()
			return ok && f.FromHost && f.At.After(after) && is(ad)
		})
	}

	at := time.Now()
	press("b:disable", "What will move", "CARP is disabled")
	sent("the goodbye", at, lab.Advert.Goodbye)
	p.b.WaitAnswering(group, patience)
	b.until("DISABLED", stateIs("DISABLED"), patience)
	b.shot("disabled")
	press("b:enable", "take part in the election again", "CARP is enabled")
	p.a.WaitAnswering(group, patience)
	b.until("MASTER", stateIs("MASTER"), patience)

	b.until("the standby", `document.querySelector(".c-standby").innerText.includes("b 1/10")`, patience)
	at = time.Now()
	press("b:enter", "b (192.0.2.12, 1/10) takes over", "Maintenance mode is on")
	sent("skew 240", at, func(ad lab.Advert) bool { return ad.AdvSkew == 240 })
	p.b.WaitAnswering(group, patience)
	if !p.a.Status().Maintenance {
		t.Error("not in maintenance")
	}
	b.until(
		"BACKUP and its demotion",
		stateIs("BACKUP")+` && document.querySelector(".demotions").innerText.includes("maintenance")`,
		patience,
	)
	press("b:leave", "configured skew applies again", "Maintenance mode is off")
	p.a.WaitAnswering(group, patience)

	p.a.MustCTL("demotion", "add", "one", "5")
	p.a.MustCTL("demotion", "add", "two", "6")
	b.until("both demotions", `document.querySelectorAll(".demotions li").length === 2`, patience)
	press("b:reset:one", "Reset the demotion one", "one removed")
	if st := p.a.Status(); st.Demotion != 6 {
		t.Errorf("demotion %d after one was reset, want 6", st.Demotion)
	}
	press("b:reset", "Reset the demotion of a", "Demotion reset (two)")
	if st := p.a.Status(); st.Demotion != 0 {
		t.Errorf("demotion %d after the reset", st.Demotion)
	}

	// A transition leads to its recording.
	b.until("a recording", `document.querySelector("#transitions a[href*='#recording-']")`, patience)
	b.click(`#transitions a[href*="#recording-"]`)
	b.until("the recording", `location.pathname === "/group" && document.querySelector("li:target a[download]") &&
		document.querySelector("li:target").innerText.includes("MASTER")`, patience)
	got := eval[int](b, `fetch(document.querySelector("li:target a[download]").href)
		.then(r => r.ok ? r.arrayBuffer() : new ArrayBuffer(0)).then(d => new DataView(d).getUint32(0))`)
	if got != 0x0a0d0d0a {
		t.Errorf("the recording begins with %#x, not as a pcapng file", got)
	}
	b.axe("the group's page with a recording")

	// Without script from here on.
	b.scripts(false)
	p.a.WaitAnswering(group, patience)
	b.open(pageOf(addrA) + "/group?name=eth0@1")
	b.click(`[id="b:yield"]`)
	b.until(
		"the question",
		`document.querySelector("form#ask") && document.body.innerText.includes("What will move")`,
		patience,
	)
	b.click("form#ask button")
	b.until("the answer", `document.body.innerText.includes("handed over to 192.0.2.12")`, patience)
	p.b.WaitAnswering(group, patience)
	b.open(pageOf(addrA))
	if !eval[bool](b, stateIs("BACKUP")) || eval[bool](b, `document.documentElement.classList.contains("scripted")`) {
		t.Errorf("the page without script:\n%s", b.text())
	}
	b.shot("noscript")
	p.b.Kill9() // the page comes to MASTER by reloading itself
	b.until("MASTER, by its own reload", stateIs("MASTER"), patience)
	metrics := p.a.Metrics()
	for series, want := range map[string]float64{
		`vipd_http_controls_total{action="disable",outcome="ok"}`: 1,
		`vipd_http_controls_total{action="yield",outcome="ok"}`:   1,
		`vipd_http_refused_total{reason="wrong_token"}`:           1, `vipd_http_refused_total{reason="csrf"}`: 0,
	} {
		if got := metric(metrics, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	b.noProblems()
}

// A thousand clients that never end their request, forged names and oversize ones: refused and counted, and neither
// node nor the traffic of clients notices.
func TestHTTPFloodDoesNotHarmTheElection(t *testing.T) {
	t.Parallel()
	p := newPair(t, onTheNet(oneVIP(0), ""), onTheNet(oneVIP(10), ""))
	p.start()
	before, other := p.a.Group(group), p.b.Group(group)
	to := netip.AddrPortFrom(addrA, webPort)
	conns, err := p.client.Dial(to, 1000)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: 192.0.2.11\r\nX: ")) // a client that was refused cannot
	}
	if code, body := p.a.Get("/healthz"); code != 200 {
		t.Errorf("/healthz beside them: %d %s", code, body)
	}
	time.Sleep(2 * masterDown) // long enough for anything that would move
	after := p.a.Group(group)
	if after.State != lab.Master || !after.Dataplane.Answering || !sameTime(after.Since, before.Since) ||
		after.Generation != before.Generation {
		t.Errorf("the MASTER was disturbed: %+v, before %+v", after, before)
	}
	if g := p.b.Group(group); g.State != lab.Backup || !sameTime(g.Since, other.Since) {
		t.Errorf("the BACKUP was disturbed: %+v", g)
	}
	if sent := after.Counters.Sent - before.Counters.Sent; sent < 5 {
		t.Errorf("only %d adverts were sent in 6 s", sent)
	}
	for text, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n":                                                      " 421 ",
		"POST /do HTTP/1.1\r\nHost: 192.0.2.11\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n": " 403 ",
		"GET /?q=" + strings.Repeat("x", 4000) + " HTTP/1.1\r\nHost: 192.0.2.11\r\n\r\n":                    " 414 ",
		"POST /do HTTP/1.1\r\nHost: 192.0.2.11\r\nContent-Length: 0\r\n\r\n":                                " 403 ",
	} {
		if got := answerTo(t, p.b.Host, to, text); !strings.Contains(got, want) {
			t.Errorf("%.60q: %q, want %q", text, got, want)
		}
	}
	var metrics string
	p.Eventually(patience, 100*time.Millisecond, func() (bool, string) {
		metrics = p.a.Metrics()
		return metric(metrics, `vipd_http_refused_total{reason="slow_client"}`) >= 64, "slow clients are cut off and counted"
	})
	for reason, want := range map[string]float64{
		"too_many_clients": 1000 - 64, "slow_client": 64, "bad_host": 1,
		"cross_origin": 1, "too_large": 1, "controls_off": 1,
	} {
		if got := metric(metrics, `vipd_http_refused_total{reason="`+reason+`"}`); got != want {
			t.Errorf("%v refused as %s, want %v", got, reason, want)
		}
	}
}

// answerTo returns the first line of what a host is answered.
func answerTo(t *testing.T, from *lab.Host, to netip.AddrPort, text string) string {
	t.Helper()
	conns, err := from.Dial(to, 1)
	if err != nil {
		t.Fatal(err)
	}
	c := conns[0]
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	n, err := c.Read(line)
	if err != nil {
		return err.Error()
	}
	return string(line[:n])
}

// On a unix socket the kernel identifies the client: root presses a control without a token, beside clients that hang,
// and the file is as the control socket's.
func TestPageOnAUnixSocketKnowsTheCaller(t *testing.T) {
	t.Parallel()
	c := oneVIP(0)
	s := newSingle(t, c)
	socket := filepath.Join(s.node.RuntimeDir(), "http.sock")
	c.Listen = "unix:" + socket
	s.node.WriteConfig(c)
	s.startMaster()
	s.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		_, err := os.Stat(socket)
		return err == nil, "the socket is there"
	})
	fi, err := os.Stat(socket)
	if err != nil || fi.Mode().Perm() != 0o660 {
		t.Errorf("mode of the socket %v, %v", fi.Mode(), err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: patience, Jar: jar, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	body := func(resp *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for range 100 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: loc") // a client beyond the limit may have been cut off
	}
	question := body(client.Get("http://localhost/confirm?action=enter-maintenance"))
	_, rest, _ := strings.Cut(question, `name="csrf" value="`)
	csrf, _, found := strings.Cut(rest, `"`)
	if !found || !strings.Contains(question, "Enter persistent maintenance mode on a?") {
		t.Fatalf("no question:\n%s", question)
	}
	form := url.Values{"action": {"enter-maintenance"}, "csrf": {csrf}}
	// there is no other node
	if answer := body(client.PostForm("http://localhost/do", form)); !strings.Contains(answer, "no node took over") {
		t.Errorf("the answer does not say that no node took over:\n%s", answer)
	}
	if st := s.node.Status(); !st.Maintenance || st.Groups[0].State != lab.Master {
		t.Errorf("after the control: %+v", st)
	}
	if answer := body(client.Get("http://evil.example/")); strings.Contains(answer, "<html") {
		t.Error("a page that made its name point here may read")
	}
	s.node.Stop()
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}
