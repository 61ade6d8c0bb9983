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

	"vipd/agent/control/api"
)

const (
	// watchInterval is how often --watch looks.
	watchInterval = time.Second
	// watchPatience is how long it waits for an answer before it calls vipd unreachable:
	// what is on the screen meanwhile looks as if it were so now.
	watchPatience = 2 * time.Second
)

// Orders to the terminal. Lines are cut at the margin while watching, for a wrapped one
// would take the room of two.
const (
	termBegin = "\x1b[?25l\x1b[?7l\x1b[2J" // no cursor, no wrapping, all clear
	termEnd   = "\x1b[?7h\x1b[?25h\n"
	termHome  = "\x1b[H"
	clearEOL  = "\x1b[K"
	clearDown = "\x1b[J"
	dim       = "2"
)

// watcher shows the status again and again.
type watcher struct {
	p      *program
	client *api.Client
	format string
	node   string
	last   string    // the newest frame that came
	at     time.Time // and when
	shown  int
}

// watch redraws until the context ends. It outlives a restart of the daemon, but not that
// there is none at the beginning.
func (p *program) watch(c *cli.Context, format string) error {
	client := p.client(c)
	client.Timeout = watchPatience
	w := &watcher{p: p, client: client, format: format}
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
			return nil // who reads is gone; told by Run
		}
		select {
		case <-c.Done():
			return nil
		case <-tick.C:
		}
	}
}

// stale is what is shown while the daemon does not answer: never the last frame as if it
// were the present one.
func (w *watcher) stale(err error) string {
	reason, _, _ := strings.Cut(err.Error(), "\n")
	text := fmt.Sprintf("daemon unreachable, last data %d s old: %s", int(w.p.env.Now().Sub(w.at).Seconds()), reason)
	if w.format == formatJSON {
		w.p.warn("%s", text)
		return ""
	}
	text = paint(cell{text, red}, w.p.colour) + "\n"
	if !w.p.tty {
		return text
	}
	text += "\nAs it was then:\n"
	for line := range strings.Lines(uncoloured(w.last)) {
		text += paint(cell{strings.TrimSuffix(line, "\n"), dim}, w.p.colour) + "\n"
	}
	return text
}

// uncoloured takes the orders to the terminal out of a text of ours.
func uncoloured(s string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, s, _ = strings.Cut(rest, "m")
	}
}

// show lets the frame replace the one before without flicker; elsewhere than on a
// terminal frames follow each other.
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
	frame = fmt.Sprintf("%s  %s  every second, Ctrl-C ends\n\n%s", orDash(w.node), now.Format("2006-01-02 15:04:05"), frame)
	w.p.printf("%s%s%s", termHome, strings.ReplaceAll(fit(frame, w.p.rows()), "\n", clearEOL+"\n"), clearDown)
}

// fit cuts a frame to the rows of the terminal; 0 means that they are not known.
func fit(frame string, rows int) string {
	lines := strings.SplitAfter(frame, "\n")
	if rows < 4 || len(lines) <= rows {
		return frame
	}
	left := len(lines) - rows + 1
	return strings.Join(lines[:rows-2], "") + fmt.Sprintf("... and %d more lines: make the window higher, or look without --watch\n", left)
}

// rows of the terminal, 0 if they are not known.
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
