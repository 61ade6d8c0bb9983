// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/ordinary"
)

// Names of the controls.
const (
	actDisable = "disable"
	actEnable  = "enable"
	actEnter   = "enter-maintenance"
	actLeave   = "leave-maintenance"
	actReset   = "reset-demotions"
	actResetOf = "reset-demotion"
	actYield   = "yield"
)

// Actions returns the names of all controls, as passed to [Options.Pressed].
func Actions() []string {
	return []string{actDisable, actEnable, actEnter, actLeave, actReset, actResetOf, actYield}
}

const (
	// actMargin is how long a control may take in addition to a handover.
	actMargin = 10 * time.Second
	// shownMoves groups are listed one by one.
	shownMoves = 20
)

// question is the confirmation that is shown before a control acts.
type question struct {
	Action, Name, Title, Button string
	What, Warnings              []string
	Moves                       []move
	MoreMoves                   int
	Danger, CanForce            bool
}

// move is one group that will leave this node.
type move struct {
	Group, Addresses, Who string
	// NoSuccessor reports that no node is known to take over.
	NoSuccessor bool
}

// questionOf describes what the action would do now. It returns nil for an unknown action or group.
func questionOf(action, name string, snap *snapshot, others []other) *question {
	q := &question{Action: action, Name: name}
	node := snap.status.Node
	switch action {
	case actDisable:
		q.ask("Temporarily disable CARP on "+node+"?", "Disable CARP",
			"Every group sends a goodbye, so that other nodes take over at once, and its addresses are removed. "+
				"CARP stays disabled until it is enabled again or the host reboots.")
		q.Danger = true
		q.leave(snap, others, "")
	case actEnable:
		q.ask("Enable CARP on "+node+"?", "Enable CARP",
			"The groups take part in the election again. With preemption enabled, they return to this node if it "+
				"advertises more often than the current master.")
	case actEnter:
		q.ask("Enter persistent maintenance mode on "+node+"?", "Enter maintenance mode",
			"Other nodes are preferred (this node advertises skew 240) until maintenance mode is left, "+
				"including after a reboot. This node still takes over when no other node is left.")
		q.leave(snap, others, "")
		q.CanForce = len(q.Moves) > 0
		for _, o := range others {
			if o.status != nil && o.status.Maintenance {
				q.warn(o.name() + " is also in maintenance mode: if both nodes are, neither is preferred.")
			}
		}
	case actLeave:
		q.ask("Leave persistent maintenance mode on "+node+"?", "Leave maintenance mode",
			"The configured skew applies again. With preemption enabled, the groups that prefer this node "+
				"return at once.")
	case actReset:
		q.ask("Reset the demotion of "+node+"?", "Reset demotion",
			"Removes demotions that were added by hand or by past errors. Demotions whose cause persists "+
				"(a link without carrier, a failing check) and maintenance mode stay.")
	case actResetOf:
		q.ask("Reset the demotion "+name+" of "+node+"?", "Reset "+name,
			"Removes this demotion. It returns if its cause persists.")
	case actYield:
		if _, ok := groupOf(snap, name); !ok {
			return nil
		}
		q.ask("Hand over "+name+" to another node?", "Hand over "+name,
			"This node keeps answering until the other node does, so that no packet is lost. It does not take "+
				"the group back until that node is gone or ten minutes have passed.")
		q.CanForce = true
		q.leave(snap, others, name)
	default:
		return nil
	}
	return q
}

func (q *question) ask(title, button, what string) {
	q.Title, q.Button, q.What = title, button, []string{what}
}

func (q *question) warn(text string) { q.Warnings = append(q.Warnings, text) }

// leave lists the groups that this node is MASTER of, and which node would take over each.
func (q *question) leave(snap *snapshot, others []other, only string) {
	alone := 0
	for i := range snap.status.Groups {
		g := &snap.status.Groups[i]
		if g.State != api.StateMaster || only != "" && g.Name != only {
			continue
		}
		m := move{Group: g.Name, Addresses: addressList(g.Addresses)}
		m.Who, m.NoSuccessor = successor(g, others)
		if m.NoSuccessor {
			alone++
		}
		q.Moves = append(q.Moves, m)
	}
	lost := "No node is known to take over " + plural(alone, "group")
	switch {
	case alone == 0 && len(q.Moves) == 0:
		q.What = append(q.What, "This node is not MASTER here: no address moves.")
	case alone > 0 && q.Action == actDisable:
		q.warn(lost + ": the addresses would become unreachable.")
	case alone > 0:
		q.warn(lost + ". A group that no node takes over stays MASTER here, and the result says so.")
	}
	if len(q.Moves) > shownMoves {
		q.MoreMoves = len(q.Moves) - shownMoves
		q.Moves = q.Moves[:shownMoves]
	}
}

func addressList(a []string) string {
	const few = 3
	if len(a) <= few {
		return strings.Join(a, ", ")
	}
	return strings.Join(a[:few], ", ") + fmt.Sprintf(" and %d more", len(a)-few)
}

// successor describes which node would take over a group. vipd nodes report that they would, and nodes named in the
// config can be asked. Otherwise only a node that was heard earlier can be named, since a BACKUP of CARP is silent.
func successor(g *api.Group, others []other) (who string, none bool) {
	who, fate := g.Successor(true)
	if fate == api.FateTaken {
		return who, false
	}
	var down []string
	for _, o := range others {
		if o.status == nil {
			down = append(down, o.name()+" does not answer")
			continue
		}
		theirs, ok := o.match(g)
		switch {
		case !ok && o.reported: // it may have it nevertheless
		case !ok:
			down = append(down, o.name()+" does not have this group")
		case theirs.State == api.StateBackup:
			return fmt.Sprintf("%s is BACKUP for it (%d/%d)", o.name(), theirs.AdvBase, theirs.EffectiveAdvSkew), false
		case theirs.State == api.StateMaster:
			return o.name() + " also reports MASTER", false
		default:
			down = append(down, o.name()+" is "+lookOf(theirs).Word)
		}
	}
	switch {
	case len(down) > 0:
		return "no node: " + strings.Join(down, ", "), true
	case fate == api.FateNone && g.Master != nil:
		return who, true
	case g.Master == nil:
		return "no other node was ever heard for this group", fate == api.FateNone
	default:
		return fmt.Sprintf("perhaps %s (%d/%d), last heard at %s; a BACKUP does not advertise, so this is not certain",
			g.Master.Address, g.Master.AdvBase, g.Master.AdvSkew, clock(g.Master.LastSeen)), false
	}
}

// confirmPage asks before a control acts. The script shows the same form in a dialog.
func (s *Server) confirmPage(w http.ResponseWriter, r *http.Request) {
	if !s.mayWrite(r) {
		s.refuse(w, refusedControls, http.StatusForbidden, readOnly)
		return
	}
	s.nodes.look(r.Context()) // may take seconds: not while others wait to render
	done, ok := s.turn(w, r)
	if !ok {
		return
	}
	defer done()
	a := s.askOf(kindStatus, r)
	if !a.loggedIn && len(s.opts.Token) > 0 {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	if !a.loggedIn {
		a.who, a.loggedIn = s.sessions.begin(w, r), true
	}
	snap, err := s.hub.read(r.Context())
	if err != nil {
		s.unreadable(w, err)
		return
	}
	others := s.otherNodes(r.Context(), snap)
	q := questionOf(r.URL.Query().Get("action"), r.URL.Query().Get("name"), snap, others)
	if q == nil {
		s.plain(w, http.StatusNotFound, "There is no such control or no such group.")
		return
	}
	d := s.base("confirm", snap, &a)
	d.Title, d.Ask = q.Title, q
	if r.URL.Query().Get("dialog") != "" {
		s.page(w, r, http.StatusOK, "ask", d)
		return
	}
	s.page(w, r, http.StatusOK, "confirm", d)
}

// form reads a form that was sent from this node's own page by a browser that is logged in.
func (s *Server) form(w http.ResponseWriter, r *http.Request) (session, bool) {
	if !s.mayWrite(r) {
		s.refuse(w, refusedControls, http.StatusForbidden, readOnly)
		return session{}, false
	}
	if !s.parse(w, r) {
		return session{}, false
	}
	who, ok := s.sessions.of(r)
	switch {
	case !ok:
		s.refuse(w, refusedLogin, http.StatusForbidden, "You are not logged in. Go back, log in and try again.")
		return session{}, false
	case !sameSecret(r.PostForm.Get("csrf"), who.csrf):
		s.refuse(w, refusedCSRF, http.StatusForbidden,
			"This form does not come from this page. Go back, reload and try again.")
		return session{}, false
	}
	return who, true
}

func (s *Server) parse(w http.ResponseWriter, r *http.Request) bool {
	arrived := func() bool { return true }
	if c, ok := connOf(r); ok && s.opts.Callers != nil {
		arrived = s.opts.Callers.Await(c)
	}
	var err error
	turn := ordinary.Outside(r.Context(), func() { err = r.ParseForm() })
	if !arrived() {
		panic(http.ErrAbortHandler) // which ends the connection
	}
	if turn != nil {
		s.busy(w)
		return false
	}
	if err == nil {
		return true
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		s.refuse(w, refusedLarge, http.StatusRequestEntityTooLarge, "The request is too large.")
	} else {
		s.plain(w, http.StatusBadRequest, "The form cannot be read.") // limitConn counts it
	}
	return false
}

// do carries out a control and redirects the browser to a page that shows the result.
func (s *Server) do(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.form(w, r); !ok {
		return
	}
	action, name, force := r.PostForm.Get("action"), r.PostForm.Get("name"), r.PostForm.Get("force") == "yes"
	patience := s.patience()
	// An action that has begun is completed even if the browser has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	out := http.NewResponseController(w)
	// The request was read; its deadline would end the wait for the answer.
	err := errors.Join(out.SetReadDeadline(time.Time{}), out.SetWriteDeadline(moment().Add(patience+writeTimeout)))
	if err != nil {
		s.log.Debug("cannot set deadlines on the connection", "err", err)
	}
	var said string
	var known bool
	_ = ordinary.Outside(r.Context(), func() { said, known, err = s.act(ctx, action, name, force) }) // it is done
	if !known {
		s.plain(w, http.StatusNotFound, "There is no such control.")
		return
	}
	f, outcome := flash{Good: true, Text: said}, "ok"
	if err != nil {
		f, outcome = flash{Text: err.Error()}, "failed"
	}
	s.log.Info("control used on the status page",
		"action", action, "name", name, "force", force, "from", r.RemoteAddr, "outcome", outcome, "err", err)
	s.opts.Pressed(action, outcome)
	to := url.Values{"flash": {s.sessions.leave(f)}}
	http.Redirect(w, r, "/?"+to.Encode(), http.StatusSeeOther)
}

// patience returns a time longer than a handover of the slowest group.
func (s *Server) patience() time.Duration {
	slowest := 0
	if snap := s.hub.snap.Load(); snap != nil {
		for i := range snap.status.Groups {
			slowest = max(slowest, snap.status.Groups[i].AdvBase)
		}
	}
	return api.HandoverLimit(slowest) + actMargin
}

func (s *Server) act(ctx context.Context, action, name string, force bool) (said string, known bool, err error) {
	switch action {
	case actDisable:
		c, err := s.backend.SetEnabled(ctx, false)
		return changed(c.Changed, "CARP is disabled on this node.", c.Message), true, err
	case actEnable:
		c, err := s.backend.SetEnabled(ctx, true)
		return changed(c.Changed, "CARP is enabled.", c.Message), true, err
	case actEnter:
		c, err := s.backend.EnterMaintenance(ctx, force)
		return changed(c.Changed, "Maintenance mode is on."+handedOver(c.Handovers), c.Message), true, err
	case actLeave:
		c, err := s.backend.SetMaintenance(ctx, false)
		return changed(c.Changed, "Maintenance mode is off.", c.Message), true, err
	case actReset:
		c, err := s.backend.ResetDemotions(ctx)
		said := fmt.Sprintf("Demotion reset (%s); the total is now %d.", strings.Join(c.Removed, ", "), c.Demotion)
		return changed(c.Changed, said, c.Message), true, err
	case actResetOf:
		if err := api.CheckRemoval(name); err != nil {
			return "", true, err
		}
		c, err := s.backend.RemoveDemotion(ctx, name)
		said := fmt.Sprintf("Demotion %s removed; the total is now %d.", name, c.Demotion)
		return changed(c.Changed, said, c.Message), true, err
	case actYield:
		h, err := s.backend.Yield(ctx, name, force)
		return name + ": " + outcomeOf(h), true, err
	}
	return "", false, nil
}

func changed(yes bool, said, more string) string {
	if !yes {
		said = "Nothing to change: " + said
	}
	return strings.TrimSpace(said + " " + more)
}

func handedOver(hs []api.Handover) string {
	var b strings.Builder
	for i, h := range hs {
		if i == shownMoves {
			fmt.Fprintf(&b, " And %d more.", len(hs)-i)
			break
		}
		b.WriteString(" " + h.Group + " " + outcomeOf(h))
	}
	return b.String()
}

func outcomeOf(h api.Handover) string {
	switch h.Outcome {
	case api.OutcomeHandedOver:
		if h.Successor == "" {
			return fmt.Sprintf("handed over in %.2f s.", h.TookSeconds)
		}
		return fmt.Sprintf("handed over to %s in %.2f s.", h.Successor, h.TookSeconds)
	case api.OutcomeWithdrawn:
		return "stays MASTER here: maintenance mode was left before another node took over."
	case api.OutcomeGivenUp:
		return "given up; no node has taken over."
	case api.OutcomeNotTaken:
		return "not taken over by any node; it stays MASTER here."
	default:
		return "was not MASTER here; nothing to hand over."
	}
}
