// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vipd/tests/lab"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// axeVersion is the one that tests/setup.sh fetches.
const axeVersion = "4.14.1"

func axeScript() string {
	tools := os.Getenv("VIPD_TOOLS")
	if tools == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		tools = filepath.Join(home, ".cache", "vipd-tools")
	}
	return filepath.Join(tools, "axe-"+axeVersion+".min.js")
}

// browser is a Chromium that runs on a host of the lab, and is spoken to over a pipe.
type browser struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // exceptions and errors that the pages caused
}

func newBrowser(t *testing.T, on *lab.Host) *browser {
	t.Helper()
	require(t, needChromium)
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		t.Fatal(err)
	}
	alloc, stop := chromedp.NewExecAllocator(
		context.WithoutCancel(t.Context()),
		chromedp.ExecPath(chromium),
		chromedp.Headless,
		chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Env("TMPDIR="+t.TempDir()), // where it leaves a socket when it is killed
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			cmd.Args = append([]string{nsenter, "--net=" + on.NetNS(), "--", chromium}, cmd.Args[1:]...)
			cmd.Path = nsenter
		}),
	)
	ctx, cancel := chromedp.NewContext(alloc)
	b := &browser{T: t, ctx: ctx}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("close the browser: %v", err)
		}
		cancel()
		stop()
	})
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal("start chromium: ", err)
	}
	return b
}

// listen keeps what a developer would see in red. A connection that a dead daemon refused is none of it.
func (b *browser) listen(ev any) {
	text := ""
	switch e := ev.(type) {
	case *cdpruntime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
	case *cdpruntime.EventConsoleAPICalled:
		if e.Type == "error" {
			raw, err := json.Marshal(e.Args)
			if err != nil {
				raw = []byte(err.Error())
			}
			text = string(raw)
		}
	}
	if text != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = append(b.problems, text)
	}
}

func (b *browser) noProblems() {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.Errorf("the page's script: %s", p)
	}
}

const browserTimeout = time.Minute

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatalf("browser: %v\n%s", err, b.text())
	}
}

func (b *browser) open(url string) {
	b.Helper()
	b.do(chromedp.Navigate(url))
}

// eval returns the value of an expression in the page; it must be of type T.
func eval[T any](b *browser, expression string) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserTimeout)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("evaluate %.200s: %v", expression, err)
	}
	return v
}

// text returns what a person reads on the page.
func (b *browser) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
	if err != nil {
		return err.Error()
	}
	return v
}

// until waits for an expression to be true in the page, whatever page that is by then.
func (b *browser) until(what, expression string, timeout time.Duration) time.Duration {
	b.Helper()
	began := time.Now()
	for {
		ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		cancel()
		if err == nil && ok {
			return time.Since(began)
		}
		if time.Since(began) > timeout { // an error in between is a page that goes while it is asked
			b.Fatalf("the page does not come to %s within %v (%v); it says:\n%s", what, timeout, err, b.text())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// click presses what a selector finds first.
func (b *browser) click(selector string) {
	b.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// call sends a command of the DevTools protocol.
func call[P, R any](b *browser, cmd cdp.Command[P, R], params P) {
	b.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, cmd, params)
		return err
	}))
}

func (b *browser) scheme(name string) {
	b.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
}

func (b *browser) scripts(on bool) {
	b.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// axe fails the test for everything on the page that axe-core finds to keep people out.
func (b *browser) axe(what string) {
	b.Helper()
	script, err := os.ReadFile(axeScript())
	if err != nil {
		b.Fatal(err)
	}
	// Evaluated by the debugger, which the page's policy does not bind.
	eval[bool](b, string(script)+"; true")
	raw := eval[string](
		b,
		`axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify({passes: r.passes.length,
		violations: r.violations.map(v => v.id + " (" + v.impact + "): " + v.help + "\n    " +
			v.nodes.slice(0, 4).map(n => n.html.slice(0, 160) + " " + n.failureSummary).join("\n    "))}))`,
	)
	var found struct {
		Passes     int
		Violations []string
	}
	if err := json.Unmarshal([]byte(raw), &found); err != nil {
		b.Fatal(err)
	}
	if found.Passes < 10 {
		b.Errorf("%s: axe looked at nothing (%d rules passed)", what, found.Passes)
	}
	for _, v := range found.Violations {
		b.Errorf("%s: axe: %s", what, v)
	}
}

// fits fails the test if the page is wider than its window, and names what sticks out.
func (b *browser) fits(what string, width int64) {
	b.Helper()
	b.do(chromedp.EmulateViewport(width, 900))
	over := eval[string](
		b,
		`document.documentElement.scrollWidth <= innerWidth ? "" : [...document.querySelectorAll("body *")]
		.filter(e => e.getBoundingClientRect().right > innerWidth + 1)
		.slice(0, 5).map(e => e.outerHTML.slice(0, 120)).join("\n")`,
	)
	if over != "" {
		b.Errorf("%s at %d pixels sticks out:\n%s", what, width, over)
	}
	if got := eval[int](b, "innerWidth"); got != int(width) {
		b.Errorf("the window is %d wide, not %d: the test proves nothing", got, width)
	}
}

// shot writes a picture of the page to $VIPD_SHOTS, for whoever wants to look.
func (b *browser) shot(name string) {
	b.Helper()
	dir := os.Getenv("VIPD_SHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, browserTimeout)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		b.Error(err)
	}
}

// stateIs is true in the page when the group's row says so.
func stateIs(word string) string {
	return fmt.Sprintf(`(document.querySelector("#rows tr .state") || {}).textContent === %q`, strings.TrimSpace(word))
}
