// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

const (
	// watchInterval is the refresh interval of --watch.
	watchInterval = time.Second
	// watchTimeout is how long it waits for an answer: the screen shows old data meanwhile.
	watchTimeout = 2 * time.Second
)

// Terminal control sequences. A line that wraps would take the room of two, so lines are cut at
// the margin.
const (
	termBegin = "\x1b[?25l\x1b[?7l\x1b[2J" // hide the cursor, do not wrap, clear
	termEnd   = "\x1b[?7h\x1b[?25h\n"
	termHome  = "\x1b[H"
	clearEOL  = "\x1b[K"
	clearDown = "\x1b[J"
)

// watcher shows the status repeatedly.
type watcher struct {
	p      *program
	format string
	node   string
	last   string    // the newest frame
	at     time.Time // when it was fetched
	shown  int
}

// watch redraws until the context ends. It survives a restart of the daemon, but the first
// request must succeed.
func (p *program) watch(c *cli.Context, format string) error {
	client := p.client(c)
	client.Timeout = watchTimeout
	w := &watcher{p: p, format: format}
	tick := time.NewTicker(cmp.Or(p.env.every, watchInterval))
	defer tick.Stop()
	redraws := p.tty && format != formatJSON
	defer func() {
		if redraws && w.shown > 0 {
			p.printf("%s", termEnd)
		}
	}()
	for {
		frame, st, err := p.statusFrame(c.Context, client, format)
		switch {
		case c.Err() != nil:
			return nil
		case err != nil && w.at.IsZero():
			return err
		case err != nil:
			frame = w.stale(err)
		default:
			w.last, w.at, w.node = frame, p.env.Now(), st.Node
		}
		if redraws && w.shown == 0 {
			p.printf("%s", termBegin)
		}
		w.show(frame, redraws)
		if p.lost != nil {
			return nil // the reader is gone; Run reports it
		}
		select {
		case <-c.Done():
			return nil
		case <-tick.C:
		}
	}
}

// stale is the frame while the daemon does not answer: old data must not look fresh.
func (w *watcher) stale(err error) string {
	reason, _, _ := strings.Cut(err.Error(), "\n")
	text := fmt.Sprintf("daemon unreachable, last data %d s old: %s", int(w.p.env.Now().Sub(w.at).Seconds()), reason)
	if w.format == formatJSON {
		w.p.warn("%s", text)
		return ""
	}
	text = w.p.paint(red, text) + "\n"
	if !w.p.tty {
		return text
	}
	text += "\nLast known state:\n"
	for line := range strings.Lines(unpaint(w.last)) {
		text += w.p.paint(dim, strings.TrimSuffix(line, "\n")) + "\n"
	}
	return text
}

// show replaces the previous frame without flicker. Without a terminal frames follow each other.
func (w *watcher) show(frame string, redraws bool) {
	defer func() { w.shown++ }()
	if !redraws {
		if frame != "" && w.shown > 0 && w.format != formatJSON {
			frame = "\n" + frame
		}
		w.p.printf("%s", frame)
		return
	}
	now := w.p.env.Now()
	frame = fmt.Sprintf("%s  %s  every second, Ctrl-C ends\n\n%s", orDash(w.node), now.Format(toSeconds), frame)
	w.p.printf("%s%s%s", termHome, strings.ReplaceAll(fit(frame, w.p.rows()), "\n", clearEOL+"\n"), clearDown)
}

// fit cuts a frame to the rows of the terminal; 0 means unknown.
func fit(frame string, rows int) string {
	lines := strings.SplitAfter(frame, "\n")
	if rows < 4 || len(lines) <= rows {
		return frame
	}
	left := len(lines) - rows + 1
	return strings.Join(lines[:rows-2], "") +
		fmt.Sprintf("... and %d more lines: make the window higher, or omit --watch\n", left)
}

// rows returns the height of the terminal, 0 if unknown.
func (p *program) rows() int {
	f, ok := p.env.Stdout.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Row)
}
