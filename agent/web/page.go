// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"vipd/agent/control/api"
)

const (
	// refreshEvery is the reload interval of browsers without the script, in seconds.
	refreshEvery = 5
	// maxFilter is the longest filter, in bytes.
	maxFilter = 200
	// shownFaults is how many faults are listed above the table.
	shownFaults = 12
	// widgetRows is how many rows the widget shows; problems come first if there are more.
	widgetRows = 50
)

// ask is the page that a browser requests, once or live.
type ask struct {
	kind  string
	view  view
	group string
	// who is set for a browser that may use the controls.
	who      session
	loggedIn bool
	canLogIn bool
}

// Kinds of live pages.
const (
	kindStatus = "status"
	kindGroup  = "group"
	kindNodes  = "nodes"
	kindWidget = "widget"
)

// askOf parses the URL of a page.
func (s *Server) askOf(kind string, r *http.Request) ask {
	q := r.URL.Query()
	a := ask{kind: kind, group: q.Get("name"), view: view{Filter: q.Get("q"), Sort: q.Get("sort"), Page: 1}}
	if len(a.view.Filter) > maxFilter {
		a.view.Filter = strings.ToValidUTF8(a.view.Filter[:maxFilter], "")
	}
	if !slices.Contains(sorts(), a.view.Sort) {
		a.view.Sort = sorts()[0]
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil {
		a.view.Page = n
	}
	if kind == kindWidget || !s.mayWrite(r) {
		return a
	}
	a.who, a.loggedIn = s.sessions.of(r)
	a.canLogIn = !a.loggedIn
	return a
}

// query returns the query string of the same page, with another page of the table.
func (a *ask) query(page int) string {
	q := url.Values{}
	if a.kind == kindGroup {
		q.Set("name", a.group)
	}
	if a.kind == kindStatus {
		if a.view.Filter != "" {
			q.Set("q", a.view.Filter)
		}
		if a.view.Sort != sorts()[0] {
			q.Set("sort", a.view.Sort)
		}
		if page > 1 {
			q.Set("page", strconv.Itoa(page))
		}
	}
	return q.Encode()
}

func (a *ask) events() string {
	q := a.query(a.view.Page)
	if q != "" {
		q = "&" + q
	}
	return "/events?view=" + a.kind + q
}

// region is a part of a page that is replaced as a whole; its HTML contains its id.
type region struct{ ID, HTML string }

// screen is the content of a page at one moment.
type screen struct {
	regions []region
	// rows of the table, in order.
	rows  []*row
	title string
}

// screenOf renders the live parts of a page.
func (s *Server) screenOf(ctx context.Context, a *ask, snap *snapshot) screen {
	switch a.kind {
	case kindGroup:
		title := a.group + " on " + snap.status.Node
		return screen{title: title, regions: []region{{"detail", s.detail(ctx, a, snap)}}}
	case kindNodes:
		html := s.pages.fragment("compare", compare(snap, s.otherNodes(ctx, snap)))
		return screen{title: "Nodes – " + snap.status.Node, regions: []region{{"compare", html}}}
	case kindWidget:
		return screen{title: "CARP on " + snap.status.Node, regions: []region{{"widget", s.widget(snap)}}}
	}
	v := judge(snap)
	rows, matching := a.view.selected(snap.rows)
	head := map[string]any{
		"Verdict":    v,
		"Status":     &snap.status,
		"Controls":   a.loggedIn,
		"CanLogIn":   a.canLogIn,
		"Resettable": slices.ContainsFunc(snap.status.Demotions, api.Demotion.Resettable),
	}
	pager := map[string]any{
		"View":     a.view,
		"Matching": matching,
		"Total":    len(snap.rows),
		"Pages":    max(1, (matching+pageRows-1)/pageRows),
		"Prev":     "",
		"Next":     "",
	}
	if a.view.Page > 1 {
		pager["Prev"] = "/?" + a.query(a.view.Page-1)
	}
	if a.view.Page*pageRows < matching {
		pager["Next"] = "/?" + a.query(a.view.Page+1)
	}
	return screen{
		title: titleOf(snap, v), rows: rows,
		regions: []region{
			{"head", s.pages.fragment("head", head)},
			{"controls", s.pages.fragment("controls", head)},
			{"faults", s.pages.fragment("faults", listFaults(snap))},
			{"pager", s.pages.fragment("pager", pager)},
			{"transitions", s.pages.fragment("transitions", shown(snap.history, snap.incidents))},
		},
	}
}

// titleOf returns the title of the browser tab, the state first.
func titleOf(snap *snapshot, v verdict) string {
	sign := map[string]string{"ok": "✓ ", "warn": "⚠ ", "bad": "✗ ", "off": "○ "}[v.Class]
	return sign + v.Role + " – " + snap.status.Node
}

type namedFault struct {
	Group string
	fault
}

type faultList struct {
	List []namedFault
	More int
}

// listFaults returns the faults of all groups, the most severe first.
func listFaults(snap *snapshot) faultList {
	var all []namedFault
	for i := range snap.status.Groups {
		name := snap.status.Groups[i].Name
		for _, f := range snap.faults[name] {
			all = append(all, namedFault{name, f})
		}
	}
	slices.SortStableFunc(all, func(a, b namedFault) int { return int(b.Severity) - int(a.Severity) })
	if len(all) <= shownFaults {
		return faultList{List: all}
	}
	return faultList{all[:shownFaults], len(all) - shownFaults}
}

func (s *Server) widget(snap *snapshot) string {
	rows := snap.rows
	if len(rows) > widgetRows {
		v := view{Sort: "problems"}
		rows, _ = v.selected(rows)
		rows = rows[:widgetRows]
	}
	return s.pages.fragment("widgetrows", map[string]any{
		"Verdict": judge(snap), "Status": &snap.status, "Rows": rows, "More": len(snap.rows) - len(rows),
	})
}

// pageData is the input of the templates of whole pages.
type pageData struct {
	Title, Kind, Node, Version, Group string

	liveData
	access
	View    view
	Sorts   []string
	Rows    []template.HTML
	Empty   bool
	Flash   *flash
	Problem string
	Ask     *question
}

// liveData keeps a page up to date.
type liveData struct {
	At            time.Time
	Events, Build string
	Refresh       int
	regions       []region
}

// access is what the browser may do.
type access struct {
	Nodes, LoggedIn, CanLogIn, ReadOnly bool
	CSRF                                string
}

// Region returns a live part of the page. A template has rendered and escaped its HTML.
func (d *pageData) Region(id string) template.HTML {
	for _, r := range d.regions {
		if r.ID == id {
			return template.HTML(r.HTML)
		}
	}
	return ""
}

// livePage answers with a page that server-sent events keep up to date.
func (s *Server) livePage(kind string, w http.ResponseWriter, r *http.Request) {
	if kind == kindNodes {
		s.nodes.look(r.Context()) // may take seconds: not while others wait to render
	}
	snap, done, ok := s.turnToRead(w, r)
	if !ok {
		return
	}
	defer done()
	a := s.askOf(kind, r)
	if a.canLogIn && len(s.opts.Token) == 0 { // the listener has identified the caller
		a.who, a.loggedIn, a.canLogIn = s.sessions.begin(w, r), true, false
	}
	scr := s.screenOf(r.Context(), &a, snap)
	d := s.base(kind, snap, &a)
	d.Title, d.Group, d.Events, d.Build, d.Refresh = scr.title, a.group, a.events(), s.assets.version, refreshEvery
	d.View, d.Sorts, d.regions, d.Empty = a.view, sorts(), scr.regions, len(snap.rows) == 0
	for _, row := range scr.rows {
		d.Rows = append(d.Rows, template.HTML(row.HTML(s.pages)))
	}
	if id := r.URL.Query().Get("flash"); id != "" {
		d.Flash = s.sessions.flash(id)
	}
	status := http.StatusOK
	if _, found := groupOf(snap, a.group); kind == kindGroup && !found {
		status = http.StatusNotFound
	}
	s.page(w, r, status, kind, d)
}

func (s *Server) base(kind string, snap *snapshot, a *ask) *pageData {
	return &pageData{
		Kind:     kind,
		Node:     snap.status.Node,
		Version:  snap.status.Version,
		liveData: liveData{At: snap.at},
		access: access{
			Nodes:    len(s.opts.Nodes) > 0 || hasPeers(snap),
			LoggedIn: a.loggedIn && len(s.opts.Token) > 0,
			CanLogIn: a.canLogIn,
			CSRF:     a.who.csrf,
			ReadOnly: !a.loggedIn && !a.canLogIn,
		},
	}
}

// turnToRead waits for a turn and returns it with a snapshot. If it fails it has answered the
// request, and done is nil.
func (s *Server) turnToRead(w http.ResponseWriter, r *http.Request) (snap *snapshot, done func(), ok bool) {
	if done, ok = s.turn(w, r); !ok {
		return nil, nil, false
	}
	s.hub.look()
	snap, err := s.hub.current(r.Context())
	if err != nil {
		s.unreadable(w, err)
		done()
		return nil, nil, false
	}
	return snap, done, true
}

func (s *Server) unreadable(w http.ResponseWriter, err error) {
	s.plain(w, http.StatusServiceUnavailable, "Cannot read the node's status: "+err.Error())
}

func (s *Server) statusPage(w http.ResponseWriter, r *http.Request) { s.livePage(kindStatus, w, r) }
func (s *Server) groupPage(w http.ResponseWriter, r *http.Request)  { s.livePage(kindGroup, w, r) }
func (s *Server) nodesPage(w http.ResponseWriter, r *http.Request)  { s.livePage(kindNodes, w, r) }

// widgetPage may be framed by the origins of the config and by this host's own pages.
func (s *Server) widgetPage(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Del("X-Frame-Options") // cannot name several origins; frame-ancestors replaces it
	h.Set("Content-Security-Policy", policy+strings.Join(append([]string{"'self'"}, s.opts.WidgetOrigins...), " "))
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	s.livePage(kindWidget, w, r)
}

// apiStatus answers like GET /v1/status of the control socket, for other nodes.
func (s *Server) apiStatus(w http.ResponseWriter, r *http.Request) {
	snap, done, ok := s.turnToRead(w, r)
	if !ok {
		return
	}
	defer done()
	body, err := json.Marshal(snap.status)
	if err != nil {
		s.unreadable(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = send(w, r, http.StatusOK, append(body, '\n')) // an error means that the client has gone
}

func groupOf(snap *snapshot, name string) (*api.Group, bool) {
	for i := range snap.status.Groups {
		if snap.status.Groups[i].Name == name {
			return &snap.status.Groups[i], true
		}
	}
	return nil, false
}
