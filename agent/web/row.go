// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"vipd/agent/control/api"
)

// look is how a state is shown: never by colour alone.
type look struct {
	Class, Icon, Word string
}

// lookOf is the state as people are told it; a MASTER that does not answer is none.
func lookOf(g *api.Group) look {
	switch {
	case g.State == api.StateMaster && !g.Dataplane.Answering:
		return look{"stuck", "alert", "MASTER"}
	case g.State == api.StateMaster:
		return look{"master", "master", "MASTER"}
	case g.State == api.StateBackup:
		return look{"backup", "backup", "BACKUP"}
	case g.Reason == api.ReasonDisabled:
		return look{"disabled", "off", "DISABLED"}
	default:
		return look{"init", "alert", "INIT"}
	}
}

// row is one line of the table: one address of a group.
type row struct {
	rowData
	Faults []fault
	// heard is not part of what is compared: it changes with every advert, and is sent alone.
	heard time.Time

	html atomic.Pointer[[2]string] // around what was heard; made when it is first wanted
}

// rowData is what makes one row differ from the next reading of it.
type rowData struct {
	ID, Group, Address, Description string
	Look                            look
	// Note stands below the state: the reason of INIT, or that it does not answer.
	Note            string
	Reason          string
	Since           time.Time
	AdvBase         int
	Skew, Effective int
	// Master speaks for the address; Own says that it is this node.
	Master   string
	Own      bool
	Families string
	Chart    chart
	// First is true for the first address of its group, which carries the chart.
	First bool
}

// rank orders by need of attention.
func (r *row) rank() int {
	if len(r.Faults) > 0 && r.Faults[0].Severity == critical {
		return 0
	}
	if len(r.Faults) > 0 {
		return 1
	}
	return map[string]int{"init": 0, "stuck": 0, "disabled": 2, "master": 3, "backup": 4}[r.Look.Class]
}

// makeRows reuses the rows of the snapshot before, and their HTML, where nothing changed.
func makeRows(s *snapshot, m *memory, was *snapshot) []*row {
	old := map[string]*row{}
	if was != nil {
		for _, r := range was.rows {
			old[r.ID] = r
		}
	}
	var out []*row
	for i := range s.status.Groups {
		g := &s.status.Groups[i]
		for j, address := range g.Addresses {
			r := newRow(g, address, j == 0, m)
			r.Faults = s.faults[g.Name]
			if o := old[r.ID]; o != nil && o.rowData == r.rowData && slices.Equal(o.Faults, r.Faults) {
				if o.heard.Equal(r.heard) {
					r = o
				} else {
					r.html.Store(o.html.Load())
				}
			}
			out = append(out, r)
		}
	}
	return out
}

func newRow(g *api.Group, address string, first bool, m *memory) *row {
	r := &row{rowData: rowData{
		ID: "r:" + g.Name + ":" + address, Group: g.Name, Address: address, Description: g.Description,
		Look: lookOf(g), Reason: g.Reason, Since: g.Since, AdvBase: g.AdvBase, Skew: g.AdvSkew, Effective: g.EffectiveAdvSkew,
		First: first,
	}}
	switch r.Look.Class {
	case "stuck":
		r.Note = "not answering"
	case "init":
		r.Note = strings.ReplaceAll(g.Reason, "_", " ")
	case "master":
		r.Own, r.Master = true, "this node"
	}
	if g.Master != nil {
		r.heard = g.Master.LastSeen
		if g.State == api.StateBackup {
			r.Master = g.Master.Address
		}
	}
	for _, f := range g.Families {
		// The row is about one address: what is heard in its family concerns it.
		if f.Silent {
			r.Families = familyName(f.Family) + " silent"
		}
	}
	r.Chart = m.chart(g)
	return r
}

// HTML is the row as it is now. What is made is kept: two who make it at once make the same.
func (r *row) HTML(p *pages) string {
	h := r.html.Load()
	if h == nil {
		made := p.row(r)
		h = &made
		r.html.Store(h)
	}
	return h[0] + renderHeard(r) + h[1]
}

// view is which rows are shown, and in which order.
type view struct {
	Filter, Sort string
	Page         int
}

// pageRows are on one page of the table.
const pageRows = 100

// sorts are the orders of the table; the first is that of the config.
func sorts() []string { return []string{"config", "problems", "state", "address", "since"} }

// selected are the rows that a view shows, and how many match its filter.
func (v *view) selected(rows []*row) (shown []*row, matching int) {
	words := strings.Fields(strings.ToLower(v.Filter))
	found := rows
	if len(words) > 0 {
		found = nil
		for _, r := range rows {
			if r.matches(words) {
				found = append(found, r)
			}
		}
	}
	if order := orderBy(v.Sort); order != nil {
		found = slices.Clone(found)
		slices.SortStableFunc(found, order)
	}
	pages := max(1, (len(found)+pageRows-1)/pageRows)
	v.Page = min(max(v.Page, 1), pages)
	from := (v.Page - 1) * pageRows
	return found[from:min(from+pageRows, len(found))], len(found)
}

func orderBy(name string) func(a, b *row) int {
	switch name {
	case "problems":
		return func(a, b *row) int { return cmp.Compare(a.rank(), b.rank()) }
	case "state":
		return func(a, b *row) int { return cmp.Compare(a.Look.Word, b.Look.Word) }
	case "address":
		return func(a, b *row) int { return addressOf(a).Compare(addressOf(b)) }
	case "since":
		return func(a, b *row) int { return b.Since.Compare(a.Since) }
	}
	return nil
}

func addressOf(r *row) netip.Addr {
	p, err := netip.ParsePrefix(r.Address)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}

func (r *row) matches(words []string) bool {
	parts := []string{r.Group, r.Address, r.Description, r.Look.Word, r.Master, r.Note}
	for _, f := range r.Faults {
		parts = append(parts, f.Badge)
	}
	text := strings.ToLower(strings.Join(parts, " "))
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// count is how many groups have each look.
type count struct {
	Look   look
	Groups int
}

// verdict is the node in one glance.
type verdict struct {
	// Class is ok, warn, bad or off; Icon and Role are what is seen from across the room.
	Class, Icon, Role string
	// Of says for how many groups, Say is one sentence.
	Of, Say string
	Counts  []count
}

// judge sums the node up.
func judge(s *snapshot) verdict {
	st := &s.status
	by := map[string]int{}
	var v verdict
	for i := range st.Groups {
		by[lookOf(&st.Groups[i]).Class]++
	}
	for _, l := range []look{{"master", "master", "MASTER"}, {"backup", "backup", "BACKUP"}, {"stuck", "alert", "not answering"}, {"init", "alert", "INIT"}, {"disabled", "off", "DISABLED"}} {
		if n := by[l.Class]; n > 0 || l.Class == "master" || l.Class == "backup" {
			v.Counts = append(v.Counts, count{l, n})
		}
	}
	total := len(st.Groups)
	v.Role, v.Icon, v.Of = "MASTER", "master", fmt.Sprintf("for all %d groups", total)
	switch {
	case total == 0:
		v.Role, v.Icon, v.Of = "No groups", "off", ""
	case by["master"] == total:
	case by["backup"] == total:
		v.Role, v.Icon = "BACKUP", "backup"
	case by["disabled"] == total:
		v.Role, v.Icon = "DISABLED", "off"
	case by["master"] > 0:
		v.Of = fmt.Sprintf("for %d of %d groups", by["master"], total)
	case by["backup"] > 0:
		v.Role, v.Icon, v.Of = "BACKUP", "backup", fmt.Sprintf("for %d of %d groups", by["backup"], total)
	default:
		v.Role, v.Icon, v.Of = "INIT", "alert", ""
	}
	if total == 1 {
		v.Of = "for " + st.Groups[0].Name
	}
	if v.Class, v.Say = weigh(s, by); v.Class == "bad" {
		v.Icon = "alert"
	}
	return v
}

// weigh says how serious it is, and why.
func weigh(s *snapshot, by map[string]int) (class, say string) {
	st := &s.status
	worst := severity(0)
	for _, fs := range s.faults {
		worst = max(worst, fs[0].Severity)
	}
	switch {
	case s.dead != nil:
		return "bad", "The election loop does not answer: what is below may be old. " + s.dead.Error()
	case len(st.Groups) == 0:
		return "off", "No redundancy group is configured."
	case !st.Enabled:
		return "off", "CARP is switched off on this node until it is enabled again or the host reboots."
	case worst == critical:
		if n := groupsWith(s, critical); n > 1 {
			return "bad", fmt.Sprintf("%d groups cannot do what they should.", n)
		}
		return "bad", "1 group cannot do what it should."
	case st.Maintenance && by["master"] > 0:
		return "warn", "In maintenance, and still MASTER: nobody else takes over."
	case st.Maintenance:
		return "warn", "In maintenance: other nodes are preferred, and this one takes over only when they are gone."
	case st.Demotion > 0:
		return "warn", fmt.Sprintf("Demoted by %d: other nodes are preferred.", st.Demotion)
	case worst >= warning:
		return "warn", plural(groupsWith(s, warning), "group") + " with something to look at."
	case len(st.Warnings) > 0:
		return "warn", "The groups are well; the host or the config has something to look at."
	default:
		return "ok", "All is well."
	}
}

func groupsWith(s *snapshot, at severity) int {
	n := 0
	for _, fs := range s.faults {
		if fs[0].Severity >= at {
			n++
		}
	}
	return n
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "s") {
		what += "e"
	}
	return fmt.Sprintf("%d %ss", n, what)
}
