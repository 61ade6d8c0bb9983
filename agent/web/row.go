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
	"vipd/agent/doctor"
)

// look is how a state is shown: by class, icon and word, never by colour alone.
type look struct {
	Class, Icon, Word string
}

// lookOf returns the look of a group's state. A MASTER that does not answer has its own.
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
	*content
	// heard is not compared: it changes with every advert and is sent separately.
	heard time.Time
}

// content is what a row shows beside when another node was heard. Rows share it as long as nothing changes.
type content struct {
	rowData
	Faults []fault

	html atomic.Pointer[[2]string] // before and after heard; rendered when first used
}

func (c *content) equal(d *rowData, faults []fault) bool {
	return c.rowData == *d && slices.Equal(c.Faults, faults)
}

// skews is the advertisement interval of a group, as configured and in effect.
type skews struct{ AdvBase, Skew, Effective int }

// standby is the node that would take the group over.
type standby struct {
	// Standby is the best one; empty where that does not apply.
	Standby string
	// StandbyNote is more about it, or why it is unknown.
	StandbyNote string
	// Lost reports that redundancy is lost.
	Lost bool
}

func standbyOf(g *api.Group) standby {
	switch n := len(g.Standbys); {
	case n == 1:
		return standby{Standby: g.Standbys[0].Label(), StandbyNote: standbyNote(&g.Standbys[0])}
	case n > 1:
		return standby{Standby: g.Standbys[0].Label(), StandbyNote: fmt.Sprintf("and %d more", n-1)}
	case g.StandbysUnknown != "":
		return standby{Standby: "unknown", StandbyNote: g.StandbysUnknown}
	case g.State == api.StateMaster:
		return standby{Standby: "none", Lost: slices.Contains(g.Faults, doctor.CodeNoStandby)}
	}
	return standby{}
}

func standbyNote(s *api.Standby) string {
	if s.Maintenance {
		return "in maintenance mode"
	}
	if s.Demotion > 0 {
		return fmt.Sprintf("demoted by %d", s.Demotion)
	}
	return ""
}

// rowData is the comparable part of a row.
type rowData struct {
	ID, Group, Address, Description string
	Look                            look
	// Note is shown below the state: the reason of INIT, or "not answering".
	Note   string
	Reason string
	Since  time.Time
	skews
	// Master is the node that answers for the address; Own is true if it is this node.
	Master string
	Own    bool
	standby
	Families string
	spark    *spark
	// First is true for the first address of its group, which shows the chart.
	First bool
}

// Chart returns the chart of the last minutes.
func (d *rowData) Chart() chart { return d.spark.draw() }

// rank returns the place of the row when problems come first.
func (r *row) rank() int {
	if len(r.Faults) > 0 && r.Faults[0].Severity == critical {
		return 0
	}
	if len(r.Faults) > 0 {
		return 1
	}
	switch r.Look.Class {
	case "disabled":
		return 2
	case "master":
		return 3
	case "backup":
		return 4
	default:
		return 0
	}
}

// makeRows returns the rows of a snapshot. It reuses what the previous one has in the same place, if nothing has
// changed.
func makeRows(s *snapshot, m *memory, was *snapshot) []*row {
	var old []*row
	if was != nil {
		old = was.rows
	}
	out := make([]*row, 0, len(old))
	for i := range s.status.Groups {
		g := &s.status.Groups[i]
		standby, spark, faults := standbyOf(g), m.spark(g), s.faults[g.Name]
		for j, address := range g.Addresses {
			d := rowData{standby: standby, spark: spark, First: j == 0}
			heard := d.describe(g, address)
			var o *row
			if n := len(out); n < len(old) && old[n].Group == g.Name && old[n].Address == address {
				o = old[n]
				d.ID = o.ID
			}
			switch {
			case o == nil || !o.equal(&d, faults):
				d.ID = "r:" + g.Name + ":" + address
				o = &row{&content{rowData: d, Faults: faults}, heard}
			case !o.heard.Equal(heard):
				o = &row{o.content, heard}
			}
			out = append(out, o)
		}
	}
	return out
}

// describe sets what the row of an address shows of its group, and returns when another node was heard.
func (d *rowData) describe(g *api.Group, address string) (heard time.Time) {
	d.Group, d.Address, d.Description = g.Name, address, g.Description
	d.Look, d.Reason, d.Since = lookOf(g), g.Reason, g.Since
	d.skews = skews{g.AdvBase, g.AdvSkew, g.EffectiveAdvSkew}
	switch d.Look.Class {
	case "stuck":
		d.Note = "not answering"
	case "init":
		d.Note = strings.ReplaceAll(g.Reason, "_", " ")
	case "master":
		d.Own, d.Master = true, "this node"
	}
	for _, f := range g.Families {
		if f.Silent {
			d.Families = familyName(f.Family) + " silent"
		}
	}
	if g.Master == nil {
		return heard
	}
	if g.State == api.StateBackup {
		d.Master = g.Master.Address
	}
	return g.Master.LastSeen
}

// HTML returns the row as it is now. It renders the fixed parts once; two goroutines that do so
// at the same time produce the same.
func (r *row) HTML(p *pages) string {
	h := r.html.Load()
	if h == nil {
		made := p.row(r.content)
		h = &made
		r.html.Store(h)
	}
	return h[0] + renderHeard(r) + h[1]
}

// view selects the rows to show and their order.
type view struct {
	Filter, Sort string
	Page         int
}

// pageRows are on one page of the table.
const pageRows = 100

// sorts returns the orders of the table; the first is the order of the config.
func sorts() []string { return []string{"config", "problems", "state", "address", "since"} }

// selected returns the rows that a view shows and how many match its filter.
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
	parts := []string{r.Group, r.Address, r.Description, r.Look.Word, r.Master, r.Note, r.Standby, r.StandbyNote}
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

// count is the number of groups with a look.
type count struct {
	Look   look
	Groups int
}

// verdict summarises the node.
type verdict struct {
	// Class is ok, warn, bad or off; Icon and Role are shown large.
	Class, Icon, Role string
	// Of names the groups in that role, Say explains the class in one sentence.
	Of, Say string
	Counts  []count
}

// judge returns the summary of the node.
func judge(s *snapshot) verdict {
	st := &s.status
	by := map[string]int{}
	var v verdict
	for i := range st.Groups {
		by[lookOf(&st.Groups[i]).Class]++
	}
	for _, l := range []look{
		{"master", "master", "MASTER"},
		{"backup", "backup", "BACKUP"},
		{"stuck", "alert", "not answering"},
		{"init", "alert", "INIT"},
		{"disabled", "off", "DISABLED"},
	} {
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

// weigh returns the class of the node and the reason in one sentence.
func weigh(s *snapshot, by map[string]int) (class, say string) {
	st := &s.status
	worst := severity(0)
	for _, fs := range s.faults {
		worst = max(worst, fs[0].Severity)
	}
	switch {
	case s.dead != nil:
		return "bad", "The election loop does not answer; the data below may be out of date. " + s.dead.Error()
	case len(st.Groups) == 0:
		return "off", "No redundancy group is configured."
	case !st.Enabled:
		return "off", "CARP is disabled on this node until it is enabled again or the host reboots."
	case worst == critical:
		return "bad", plural(groupsWith(s, critical), "group") + " with a critical problem."
	case st.Maintenance && by["master"] > 0:
		return "warn", "In maintenance mode but still MASTER: no other node takes over."
	case st.Maintenance:
		return "warn", "In maintenance mode: other nodes are preferred; this node takes over only when none is left."
	case st.Demotion > 0:
		return "warn", fmt.Sprintf("Demoted by %d: other nodes are preferred.", st.Demotion)
	case worst >= warning:
		return "warn", plural(groupsWith(s, warning), "group") + " with a warning."
	case len(st.Warnings) > 0:
		return "warn", "No problem in any group, but a warning about the host or the configuration."
	default:
		return "ok", "No problems found."
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
