// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"vipd/tests/lab"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// The widget is shown, and lives, in a frame on a page of an origin that the config names; in one of another origin,
// and on any page that is not the widget, the browser shows nothing of it.
func TestWidgetIsFramedByNamedOriginsOnly(t *testing.T) {
	require(t, needChromium)
	t.Parallel()
	const wall, stranger = 8001, 8002
	c := onTheNet(oneVIP(0), "")
	origin := func(port uint16) string { return fmt.Sprintf("http://%s:%d", addrA, port) }
	c.Extra = fmt.Sprintf("[web]\nwidget_origins = [%q]\n", origin(wall))
	s := newSingle(t, c)
	s.startMaster()
	// On the node's own address, where the port alone makes the origin another: the browser keeps frames of one address in
	// one process, and lets a test look into them.
	for _, port := range []uint16{wall, stranger} {
		serveFrom(t, s.node.Host, netip.AddrPortFrom(addrA, port),
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w,
					`<!doctype html><title>wall</title><iframe src="%s%s" onload="shown = true" width="1000" height="700"></iframe>`,
					pageOf(addrA), r.URL.Path)
			}))
	}
	b := newBrowser(t, s.client)
	open := func(port uint16, path string) cdp.Frame {
		t.Helper()
		b.open(origin(port) + path)
		b.until("the frame", "window.shown", patience)
		return b.frame()
	}
	open(wall, "/widget")
	const words = `(document.querySelector("#widget .state") || {}).textContent + " " +
		document.documentElement.classList.contains("is-live")`
	s.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
		got := b.inFrame(words)
		return got == "MASTER true", "the widget in a frame of " + origin(wall) + " says " + got
	})
	for _, tt := range []struct {
		port uint16
		path string
	}{{stranger, "/widget"}, {wall, "/"}} {
		at := origin(tt.port) + " around " + tt.path
		if f := open(tt.port, tt.path); f.UnreachableURL != pageOf(addrA)+tt.path {
			t.Errorf("%s: the frame is of %s, and not refused", at, f.URL)
		}
		if got := b.inFrame(`String(document.querySelector("#widget, #rows, main"))`); got != "null" {
			t.Errorf("%s: the frame has %s", at, got)
		}
	}
	b.noProblems()
}

// serveFrom serves on a host of the lab until the test ends.
func serveFrom(t *testing.T, on *lab.Host, at netip.AddrPort, h http.Handler) {
	t.Helper()
	l := listenFrom(t, on, at)
	server := http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-ended); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// listenFrom listens on a host of the lab: for a literal address net makes the socket on the very thread.
func listenFrom(t *testing.T, on *lab.Host, at netip.AddrPort) (l net.Listener) {
	t.Helper()
	if err := on.Within(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", at.String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return l
}

// frame returns the first frame inside the page.
func (b *browser) frame() (f cdp.Frame) {
	b.Helper()
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		tree, err := cdp.Call(ctx, target, page.GetFrameTree, cdp.Empty{})
		if err != nil {
			return err
		}
		if len(tree.FrameTree.ChildFrames) == 0 {
			return fmt.Errorf("no frame in %s", tree.FrameTree.Frame.URL)
		}
		f = *tree.FrameTree.ChildFrames[0].Frame
		return nil
	}))
	return f
}

// inFrame returns the value of an expression that makes a string, in the first frame inside the page.
func (b *browser) inFrame(expression string) (value string) {
	b.Helper()
	f := b.frame()
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		world, err := cdp.Call(ctx, target, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: f.ID})
		if err != nil {
			return err
		}
		got, err := cdp.Call(
			ctx,
			target,
			cdpruntime.Evaluate,
			cdpruntime.EvaluateParams{Expression: expression, ContextID: world.ExecutionContextID},
		)
		if err != nil {
			return err
		}
		if got.ExceptionDetails != nil {
			return fmt.Errorf("evaluate %s: %s", expression, got.ExceptionDetails.Text)
		}
		return json.Unmarshal(got.Result.Value, &value)
	}))
	return value
}
