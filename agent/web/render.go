// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"fmt"
	"hash/fnv"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"

	"vipd/agent/control/api"
)

//go:embed assets templates
var files embed.FS

// moment returns the time of day for people; its monotonic part serves the limits and pauses of
// the page. Nothing of the election depends on it.
func moment() time.Time { return time.Now() }

// assets holds the static files.
type assets struct {
	byName  map[string][]byte
	version string // hash of all files, for their URLs
}

func loadAssets() *assets {
	a := &assets{byName: map[string][]byte{}}
	sum := fnv.New64a()
	for _, name := range []string{"style.css", "live.js", "icon.svg"} {
		data, err := files.ReadFile("assets/" + name)
		if err != nil {
			panic(err) // embedded at build time: a test finds it
		}
		a.byName[name] = data
		_, _ = sum.Write(data) // never fails
	}
	a.version = fmt.Sprintf("%x", sum.Sum64())
	return a
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	data, ok := a.byName[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", map[string]string{
		"style.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	}[name])
	w.Header().Set("Cache-Control", "max-age=31536000, immutable")
	_, _ = send(w, r, http.StatusOK, data) // an error means that the client has gone
}

// pages holds the templates.
type pages struct{ t *template.Template }

// heardMark is replaced by the time of the last advert; escaped text cannot contain it.
const heardMark = "<!--heard-->"

func parsePages(a *assets) *pages {
	return &pages{template.Must(template.New("").Funcs(template.FuncMap{
		"asset":  func(name string) string { return "/assets/" + name + "?v=" + a.version },
		"number": number,
		"clock":  clock,
		"stamp":  stamp,
		"spaced": func(s string) string { return strings.ReplaceAll(s, "_", " ") },
		"heard":  func() template.HTML { return heardMark },
		"plural": plural,
		"secs":   func(f float64) string { return fmt.Sprintf("%.3f s", f) },
		"family": familyName,
		"look":   func(g api.Group) look { return lookOf(&g) },
	}).ParseFS(files, "templates/*.html"))}
}

// row renders a row except for the time of the last advert: the parts before and after it.
func (p *pages) row(c *content) [2]string {
	before, after, _ := strings.Cut(p.fragment("row", c), heardMark)
	return [2]string{before, after}
}

// renderHeard renders when another node's last advert arrived.
func renderHeard(r *row) string {
	if r.heard.IsZero() {
		return `<span class="dim">` + word(r.Own, "no other master heard", "never heard") + `</span>`
	}
	return `<span class="dim">` + word(r.Own, "other master heard", "heard") +
		` <time data-live datetime="` + stamp(r.heard) + `">` + clock(r.heard) + `</time></span>`
}

// clock returns the time of day, with the date if it is not today, for browsers without the script.
func clock(t time.Time) string {
	t = t.Local()
	if now := moment(); t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// fragment renders one named template. An error of the template is shown in its place.
func (p *pages) fragment(name string, data any) string {
	var b strings.Builder
	if err := p.t.ExecuteTemplate(&b, name, data); err != nil {
		return "<p>" + template.HTMLEscapeString(err.Error()) + "</p>"
	}
	return strings.TrimSpace(b.String())
}

// page answers with a whole page.
func (s *Server) page(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.pages.t.ExecuteTemplate(&b, name, data); err != nil {
		s.log.Error("cannot render the page", "page", name, "err", err)
		s.plain(w, http.StatusInternalServerError, "Cannot render the page: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if _, err := send(w, r, status, b.Bytes()); err != nil {
		s.log.Debug("cannot send the page", "err", err)
	}
}

// compressFrom is the size from which an answer is compressed.
const compressFrom = 1 << 10

// send writes an answer, compressed if the client accepts that.
func send(w http.ResponseWriter, r *http.Request, status int, data []byte) (int, error) {
	w.Header().Add("Vary", "Accept-Encoding")
	if len(data) < compressFrom || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.WriteHeader(status)
		return w.Write(data)
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	gz, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(gz, bytes.NewReader(data))
	if cerr := gz.Close(); err == nil {
		err = cerr
	}
	return int(n), err
}

// turn waits until the request may render a page, so that a flood of requests renders only
// maxPages at once. If that takes too long, it answers the request and returns false.
func (s *Server) turn(w http.ResponseWriter, r *http.Request) (done func(), ok bool) {
	ctx, cancel := context.WithTimeout(r.Context(), pageWait)
	defer cancel()
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }, true
	case <-ctx.Done():
		s.busy(w)
		return nil, false
	}
}

func (s *Server) busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "5")
	s.refuse(w, refusedBusy, http.StatusServiceUnavailable, "Too many requests. Try again later.")
}

// shownTransition is one line of the history.
type shownTransition struct {
	api.Transition
	From, To look
	Because  string
	// Recording is the number of the incident that contains it, 0 if there is none.
	Recording uint64
}

// HookFailed reports whether the hook failed.
func (t shownTransition) HookFailed() bool {
	return t.Hook != nil && t.Hook.Outcome != api.HookOK && t.Hook.Outcome != api.HookWaiting &&
		t.Hook.Outcome != api.HookSkipped
}

func shown(history []api.Transition, incidents []api.Incident) []shownTransition {
	out := make([]shownTransition, 0, len(history))
	recordings := recordingsOf(history, incidents)
	for i, t := range history {
		from, to := lookOfState(t.From, ""), lookOfState(t.To, t.Reason)
		out = append(out, shownTransition{t, from, to, because(t), recordings[i]})
	}
	return out
}

func lookOfState(state, reason string) look {
	g := api.Group{State: state, Reason: reason, Dataplane: api.Dataplane{Answering: true}}
	return lookOf(&g)
}

// because returns the reason of a transition in the words of FreeBSD's and OpenBSD's kernel logs.
func because(t api.Transition) string {
	text, ok := map[string]string{
		"startup":             "started",
		"master_timeout":      "master timed out",
		"preempt":             "preempting a slower master",
		"goodbye":             "master said goodbye",
		"better_advert":       "more frequent advertisement received",
		"equal_advert":        "equal advertisement received",
		"demoted":             "demoted",
		"lease_expired":       "lease expired before an advertisement was sent",
		"link_down":           "link down",
		"link_up":             "link up",
		"interface_missing":   "interface missing",
		"interface_enslaved":  "interface belongs to a bridge or bond",
		"attach_failed":       "program cannot be attached",
		"send_failed":         "advertisements cannot be sent",
		"config_changed":      "configuration changed",
		"disabled":            "disabled by the operator",
		"enabled":             "enabled by the operator",
		"stop":                "daemon stopped",
		"yield":               "handed over by the operator",
		"own_address":         "virtual address is an ordinary address of the host",
		"interface_duplicate": "defined twice, under two names of the interface",
	}[t.Reason]
	if !ok {
		text = strings.ReplaceAll(t.Reason, "_", " ")
	}
	return text
}
