// SPDX-License-Identifier: Apache-2.0

package record

import (
	"errors"
	"fmt"
	"slices"

	"vipd/agent/control/api"
)

// MaxCaptures is the largest number of captures at once on a node.
const MaxCaptures = 4

// captureBacklog is how many entries a reader may fall behind before it loses some.
const captureBacklog = 8192

// Errors of [Recorder.Capture].
var (
	ErrNoGroup  = errors.New("the group is not in the data plane")
	ErrCaptures = fmt.Errorf("%d captures are running already", MaxCaptures)
)

// Capture is a live stream of what the data plane does for one group. Its owner must call
// [Capture.Close].
type Capture struct {
	r     *Recorder
	g     *group
	lines chan api.CaptureLine
	Begin api.CaptureBegin

	// guarded by r.mu
	closed bool
	base   uint64 // missed by the group before
	slow   uint64 // not read in time
	sent   uint64 // the last count of lost frames in the stream
}

// Capture begins a stream. The group has larger budgets during a capture.
func (r *Recorder) Capture(name string) (*Capture, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.groups[name]
	if g == nil {
		return nil, ErrNoGroup
	}
	if r.captures >= MaxCaptures {
		return nil, ErrCaptures
	}
	c := &Capture{
		r: r, g: g, lines: make(chan api.CaptureLine, captureBacklog+2),
		Begin: api.CaptureBegin{Node: r.opts.Node, Version: r.opts.Version, Group: name, Interface: g.ifname},
		base:  g.missed(),
	}
	r.captures++
	g.captures = append(g.captures, c)
	r.setCapture(g, true)
	select {
	case r.poke <- struct{}{}: // it takes effect with the next drain
	default:
	}
	return c, nil
}

func (r *Recorder) setCapture(g *group, on bool) {
	if g.plane == nil {
		return
	}
	if err := g.plane.SetCapture(on); err != nil {
		r.opts.Log.Warn("cannot switch the capture", "group", g.name, "on", on, "err", err)
	}
}

// Lines returns the channel of frames and transitions, sorted by time. It is closed after the last one.
func (c *Capture) Lines() <-chan api.CaptureLine { return c.lines }

// Close ends the capture. It may be called more than once.
func (c *Capture) Close() {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.close("")
}

// close requires r.mu.
func (c *Capture) close(why string) {
	if c.closed {
		return
	}
	c.closed = true
	if why != "" {
		c.lines <- api.CaptureLine{End: why} // the channel has a place for it
	}
	close(c.lines)
	c.r.captures--
	c.g.captures = slices.DeleteFunc(c.g.captures, func(o *Capture) bool { return o == c })
	if len(c.g.captures) == 0 {
		c.r.setCapture(c.g, false)
	}
}

// end closes all captures of a group.
func (g *group) end(why string) {
	for _, c := range slices.Clone(g.captures) {
		c.close(why)
	}
}

// deliver sends the entries of one tick to all captures of the group.
func (g *group) deliver(all []entry) {
	sortEntries(all)
	r := g.captures[0].r
	offset := r.opts.Wall().UnixNano() - r.opts.Boot()
	states := g.states.newest(len(g.states.entries))
	missed := g.missed()
	for i := range all {
		e := &all[i]
		rec := e.record(g.name, g.ifname, offset)
		rec.State = stateAt(states, e.At, g.state)
		for _, c := range g.captures {
			if len(c.lines) >= captureBacklog {
				c.slow++
				continue
			}
			c.lines <- api.CaptureLine{Record: &rec}
		}
	}
	for _, c := range g.captures {
		if lost := missed - c.base + c.slow; lost != c.sent && len(c.lines) <= captureBacklog {
			c.lines <- api.CaptureLine{Lost: &lost}
			c.sent = lost
		}
	}
}
