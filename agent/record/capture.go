// SPDX-License-Identifier: Apache-2.0

package record

import (
	"errors"
	"fmt"
	"slices"

	"vipd/agent/control/api"
)

// MaxCaptures is how many may run at once on a node.
const MaxCaptures = 4

// captureBacklog is how many entries a reader may be behind before it loses some.
const captureBacklog = 8192

// Errors of [Recorder.Capture].
var (
	ErrNoGroup  = errors.New("the group is not in the data plane")
	ErrCaptures = fmt.Errorf("%d captures are running already", MaxCaptures)
)

// Capture is a live stream of what the data plane does for one group. Its owner calls
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
	told   uint64
}

// Capture begins to stream. The budgets of the group are lifted meanwhile.
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
	case r.poke <- struct{}{}: // the next drain puts it in force
	default:
	}
	return c, nil
}

func (r *Recorder) setCapture(g *group, on bool) {
	if g.plane == nil {
		return
	}
	if err := g.plane.SetCapture(on); err != nil {
		r.log.Warn("capture", "group", g.name, "err", err)
	}
}

// Lines delivers frames and transitions in the order of time, and is closed after the
// last one.
func (c *Capture) Lines() <-chan api.CaptureLine { return c.lines }

// Close ends the capture. It may be called again.
func (c *Capture) Close() {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.close("")
}

// close is called with the lock held.
func (c *Capture) close(why string) {
	if c.closed {
		return
	}
	c.closed = true
	if why != "" {
		c.lines <- api.CaptureLine{End: why} // its place is kept
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

// deliver gives the entries of one tick to all who capture the group.
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
		if lost := missed - c.base + c.slow; lost != c.told && len(c.lines) <= captureBacklog {
			c.lines <- api.CaptureLine{Lost: &lost}
			c.told = lost
		}
	}
}
