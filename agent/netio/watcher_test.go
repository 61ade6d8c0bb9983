// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"vipd/tests/needs"
)

// logText collects what is logged.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newNetwork creates a network namespace with the interface lo.
func newNetwork(t testing.TB) (netns.NsHandle, *netlink.Handle, netlink.Link) {
	t.Helper()
	needs.NetNS(t)
	made := make(chan netns.NsHandle, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := netns.New()
		if err != nil {
			t.Error(err)
		}
		made <- ns
	}()
	ns := <-made
	nl, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nl.Close()
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
	lo, err := nl.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	return ns, nl, lo
}

// watch runs the watcher in the namespace until the test ends.
func watch(t *testing.T, ns netns.NsHandle, w *Watcher) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // as above
		err := netns.Set(ns)
		if err == nil {
			err = w.Run(ctx)
		}
		if err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// When the receive buffer is full, the kernel drops events and reports that once (ENOBUFS). The watcher
// then gives a hint to read everything again, and receives later events.
func TestWatcherSurvivesLostEvents(t *testing.T) {
	t.Parallel()
	ns, nl, lo := newNetwork(t)
	var text logText
	w := NewWatcher(slog.New(slog.NewTextHandler(&text, nil)))
	w.rcvbuf = 1 // the kernel makes it its smallest, which holds an event or two
	watch(t, ns, w)
	hint := func(what string) {
		t.Helper()
		select {
		case <-w.Changed():
		case <-time.After(5 * time.Second):
			t.Fatalf("no hint: %s\n%s", what, &text)
		}
	}
	change := func(n int) {
		t.Helper()
		a, err := netlink.ParseAddr(fmt.Sprintf("10.%d.%d.%d/32", n>>16, n>>8&255, n&255))
		if err == nil {
			err = nl.AddrAdd(lo, a)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hint("at the start")
	n := 1
	for ; !strings.Contains(text.String(), "no buffer space available"); n++ { // ENOBUFS: the witness
		if n == 1<<16 {
			t.Fatalf("%d changes in a row did not fill the receive buffer:\n%s", n, &text)
		}
		change(n)
	}
	t.Logf("events were lost within %d changes", n)
	hint("after events were lost")
	for quiet := false; !quiet; { // until it has subscribed again and says no more
		select {
		case <-w.Changed():
		case <-time.After(time.Second):
			quiet = true
		}
	}
	change(n)
	hint("of the next change")
}
