// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vipd/agent/election"
)

// Kinds of hashed events.
const (
	hashReceive = iota + 1
	hashSend
	hashRole
	hashPriority
	hashTransition
	hashFault
)

// traceHash is a hash of all events in order. It is not cryptographic: it detects that two runs differ, and is cheap
// enough to be always on.
type traceHash struct{ a, b uint64 }

func (h *traceHash) add(kind, who, x, y uint64) {
	h.a = (h.a ^ (x + kind<<56)) * 0x9fb21c651e98df25
	h.a ^= h.a >> 29
	h.b = (h.b ^ (y + who<<40)) * 0xd6e8feb86659fd93
	h.b ^= h.b>>32 ^ h.a
}

func (h *traceHash) sum() uint64 { return mix(h.a ^ mix(h.b)) }

func prioWord(p election.Priority) uint64 {
	return uint64(p.AdvBase)<<16 | uint64(p.AdvSkew)<<8 | uint64(p.Demote)
}

func boolWord(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// note is one line of a host's trace.
type note struct {
	at   time.Duration
	host string
	text string
}

// notef adds a line to h's trace and removes old lines.
func (w *World) notef(h *host, g *group, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if g != nil && len(w.groups) > 1 {
		text = fmt.Sprintf("@%d %s", g.vhid, text)
	}
	h.log = append(h.log, note{w.now, h.name, text})
	if len(h.log) > 2*traceLength {
		h.log = slices.Delete(h.log, 0, traceLength)
	}
}

// traceLength is how many of a host's last events a failure prints.
const traceLength = 40

func (w *World) noteReceived(m *member, f *frame, why reject, yielded bool) {
	text := ""
	switch {
	case why != rejectNone:
		text = ": " + why.String()
	case yielded:
		text = ": yields"
	}
	w.notef(m.host, m.group, "receives %d/%d demote %d from %s%s",
		f.prio.AdvBase, f.prio.AdvSkew, f.prio.Demote, w.nameOf(f), text)
}

func (w *World) nameOf(f *frame) string {
	if f.from == nil {
		return "an attacker"
	}
	return f.from.host.name
}

// traces returns the merged traces of all hosts.
func (w *World) traces() string {
	var all []note
	for _, h := range w.hosts {
		all = append(all, h.log[max(0, len(h.log)-traceLength):]...)
	}
	all = append(all, w.log[max(0, len(w.log)-traceLength):]...)
	slices.SortStableFunc(all, func(a, b note) int { return int(a.at - b.at) })
	var b strings.Builder
	for _, n := range all {
		fmt.Fprintf(&b, "%14v  %-6s %s\n", n.at, n.host, n.text)
	}
	for _, h := range w.hosts {
		for _, m := range h.members {
			v := m.machine.View()
			role := m.kernel.role
			fmt.Fprintf(&b, "%s@%d: %v %v; kernel %v generation %d yielded %d, answering %v; ",
				h.name, m.group.vhid, v.State, v.Reason, role.State, role.Generation, m.kernel.yielded, w.answering(m))
			fmt.Fprintf(&b, "up %v, runs %v, advbase %d, advskew %d, beat %v, states %d/%d demote %d\n",
				h.up, h.running(), m.cfg.AdvBase, m.cfg.AdvSkew, m.cfg.Beat,
				v.Effective.AdvBase, v.Effective.AdvSkew, v.Effective.Demote)
		}
	}
	return b.String()
}

// Violation is a violated invariant.
type Violation struct {
	Invariant string // as in the package comment
	At        time.Duration
	Text      string
}

func (v *Violation) String() string {
	return fmt.Sprintf("%s at %v: %s", v.Invariant, v.At, v.Text)
}

// fail ends the run with a violation, unless there is one already.
func (w *World) fail(m *member, invariant, format string, args ...any) {
	if w.violation != nil {
		return
	}
	w.violation = &Violation{
		Invariant: invariant, At: w.now,
		Text: fmt.Sprintf("%s@%d: ", m.host.name, m.group.vhid) + fmt.Sprintf(format, args...),
	}
}
