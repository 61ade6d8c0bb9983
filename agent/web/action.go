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

// Actions are all controls that [Options.Pressed] is told of.
func Actions() []string {
	return []string{actDisable, actEnable, actEnter, actLeave, actReset, actResetOf, actYield}
}

const (
	// actMargin is what a control may take beside a handover.
	actMargin = 10 * time.Second
	// shownMoves are listed one by one.
	shownMoves = 20
)

// question is what is asked before a control acts.
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
	// Nobody is true when nobody is known who could take over.
	Nobody bool
}

// questionOf says what the action would do now. It returns nil for what is no action.
func questionOf(action, name string, snap *snapshot, others []other) *question {
	q := &question{Action: action, Name: name}
	node := snap.status.Node
	switch action {
	case actDisable:
		q.Title, q.Button, q.Danger = "Temporarily disable CARP on "+node+"?", "Disable CARP", true
		q.What = []string{"Every group says goodbye, so that other nodes take over at once, and leaves its addresses. It stays so until CARP is enabled again or the host reboots."}
		q.leave(snap, others, "")
	case actEnable:
		q.Title, q.Button = "Enable CARP on "+node+"?", "Enable CARP"
		q.What = []string{"The groups take part again. With preemption, and a shorter interval than the present master's, they come back to this node."}
	case actEnter:
		q.Title, q.Button = "Enter persistent maintenance mode on "+node+"?", "Enter maintenance mode"
		q.What = []string{"Other nodes are preferred (skew 240), also after a reboot, until the mode is left. This node still takes over when all others are gone."}
		q.leave(snap, others, "")
		if len(q.Moves) > 0 {
			q.CanForce = true
		}
		for _, o := range others {
			if o.status != nil && o.status.Maintenance {
				q.Warnings = append(q.Warnings, o.name()+" is in maintenance too: with both in maintenance nobody is preferred.")
			}
		}
	case actLeave:
		q.Title, q.Button = "Leave persistent maintenance mode on "+node+"?", "Leave maintenance mode"
		q.What = []string{"The configured skew counts again. With preemption the groups that belong here come back at once."}
	case actReset:
		q.Title, q.Button = "Reset the demotion of "+node+"?", "Reset demotion"
		q.What = []string{"Demotions by hand and for errors of the past are taken off. What is still so (a link without carrier, a failing check) and maintenance mode stay."}
	case actResetOf:
		q.Title, q.Button = "Reset the demotion "+name+" of "+node+"?", "Reset "+name
		q.What = []string{"This demotion is taken off. If its cause is still there it comes back."}
	case actYield:
		if _, ok := groupOf(snap, name); !ok {
			return nil
		}
		q.Title, q.Button = "Yield "+name+" to another node?", "Yield "+name
		q.What = []string{"This node goes on speaking until the other one speaks, so that no packet is lost, and does not take the group back before that one is gone or ten minutes have passed."}
		q.CanForce = true
		q.leave(snap, others, name)
	default:
		return nil
	}
	return q
}

// leave lists the groups that this node is MASTER of, and who is there for them.
func (q *question) leave(snap *snapshot, others []other, only string) {
	nobody := 0
	for i := range snap.status.Groups {
		g := &snap.status.Groups[i]
		if g.State != api.StateMaster || only != "" && g.Name != only {
			continue
		}
		m := move{Group: g.Name, Addresses: addressList(g.Addresses)}
		m.Who, m.Nobody = successor(g, others)
		if m.Nobody {
			nobody++
		}
		q.Moves = append(q.Moves, m)
	}
	switch {
	case nobody == 0 && len(q.Moves) == 0:
		q.What = append(q.What, "This node is MASTER of nothing here: no address moves.")
	case nobody > 0 && q.Action == actDisable:
		q.Warnings = append(q.Warnings, fmt.Sprintf("Nobody is known who would take over %s: the addresses would go dead.", plural(nobody, "group")))
	case nobody > 0:
		q.Warnings = append(q.Warnings, fmt.Sprintf("Nobody is known who would take over %s. If nobody does, it stays MASTER here and this is reported.", plural(nobody, "group")))
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

// successor is who would take a group over. Other nodes of the config can be asked; else a
// BACKUP is silent, and only who was heard before can be named.
func successor(g *api.Group, others []other) (who string, nobody bool) {
	var down []string
	for _, o := range others {
		if o.status == nil {
			down = append(down, o.name()+" does not answer")
			continue
		}
		theirs, ok := o.match(g)
		switch {
		case !ok:
			down = append(down, o.name()+" does not have it")
		case theirs.State == api.StateBackup:
			return fmt.Sprintf("%s is BACKUP for it (%d/%d)", o.name(), theirs.AdvBase, theirs.EffectiveAdvSkew), false
		case theirs.State == api.StateMaster:
			return o.name() + " says that it is MASTER too", false
		default:
			down = append(down, o.name()+" is "+lookOf(theirs).Word)
		}
	}
	switch {
	case len(down) > 0:
		return "nobody: " + strings.Join(down, ", "), true
	case g.Master == nil:
		return "no other node was ever heard for it", true
	default:
		return fmt.Sprintf("perhaps %s (%d/%d), last heard at %s: a BACKUP is silent, so it cannot be known", g.Master.Address, g.Master.AdvBase, g.Master.AdvSkew, clock(g.Master.LastSeen)), false
	}
}

// confirmPage asks before a control acts. The script shows the same form in a dialog.
func (s *Server) confirmPage(w http.ResponseWriter, r *http.Request) {
	if !s.mayWrite(r) {
		s.refuse(w, refusedControls, http.StatusForbidden, "This page is read-only here.")
		return
	}
	others := s.nodes.look(r.Context())
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
	q := questionOf(r.URL.Query().Get("action"), r.URL.Query().Get("name"), snap, others)
	if q == nil {
		s.plain(w, http.StatusNotFound, "There is no such control, or no such group.")
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

// form reads a form that was sent from our own page by somebody who is logged in.
func (s *Server) form(w http.ResponseWriter, r *http.Request) (session, bool) {
	if !s.mayWrite(r) {
		s.refuse(w, refusedControls, http.StatusForbidden, "This page is read-only here.")
		return session{}, false
	}
	if !s.parse(w, r) {
		return session{}, false
	}
	who, ok := s.sessions.of(r)
	switch {
	case !ok:
		s.refuse(w, refusedLogin, http.StatusForbidden, "You are not logged in, or no longer. Go back, log in and try again.")
		return session{}, false
	case !sameSecret(r.PostForm.Get("csrf"), who.csrf):
		s.refuse(w, refusedCSRF, http.StatusForbidden, "This form was not made by this page. Go back, reload and try again.")
		return session{}, false
	}
	return who, true
}

func (s *Server) parse(w http.ResponseWriter, r *http.Request) bool {
	arrived := func() bool { return true }
	if c, ok := connOf(r); ok && s.opts.Callers != nil {
		arrived = s.opts.Callers.Await(c)
	}
	err := r.ParseForm()
	if !arrived() {
		panic(http.ErrAbortHandler) // which ends the connection
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

// do acts, and sends the browser to a page that says how it ended.
func (s *Server) do(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.form(w, r); !ok {
		return
	}
	action, name, force := r.PostForm.Get("action"), r.PostForm.Get("name"), r.PostForm.Get("force") == "yes"
	patience := s.patience()
	// What was begun is finished, also when the browser has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	out := http.NewResponseController(w)
	// The request was read; its deadline would end the wait for the answer.
	if err := errors.Join(out.SetReadDeadline(time.Time{}), out.SetWriteDeadline(moment().Add(patience+writeTimeout))); err != nil {
		s.log.Debug("no deadlines on this connection", "err", err)
	}
	said, known, err := s.act(ctx, action, name, force)
	if !known {
		s.plain(w, http.StatusNotFound, "There is no such control.")
		return
	}
	f, outcome := flash{Good: true, Text: said}, "ok"
	if err != nil {
		f, outcome = flash{Text: err.Error()}, "failed"
	}
	s.log.Info("control pressed on the page", "action", action, "name", name, "force", force, "from", r.RemoteAddr, "outcome", outcome, "err", err)
	s.opts.Pressed(action, outcome)
	to := url.Values{"flash": {s.sessions.leave(f)}}
	http.Redirect(w, r, "/?"+to.Encode(), http.StatusSeeOther)
}

// patience is longer than a handover of the slowest group.
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
	case actDisable, actEnable:
		c, err := s.backend.SetEnabled(ctx, action == actEnable)
		return changed(c.Changed, map[bool]string{true: "CARP is enabled.", false: "CARP is disabled on this node."}[action == actEnable], c.Message), true, err
	case actEnter:
		c, err := s.backend.EnterMaintenance(ctx, force)
		return changed(c.Changed, "Maintenance mode is on."+handedOver(c.Handovers), c.Message), true, err
	case actLeave:
		c, err := s.backend.SetMaintenance(ctx, false)
		return changed(c.Changed, "Maintenance mode is off.", c.Message), true, err
	case actReset:
		c, err := s.backend.ResetDemotions(ctx)
		return changed(c.Changed, fmt.Sprintf("Demotion reset (%s); it is %d now.", strings.Join(c.Removed, ", "), c.Demotion), c.Message), true, err
	case actResetOf:
		if err := api.CheckRemoval(name); err != nil {
			return "", true, err
		}
		c, err := s.backend.RemoveDemotion(ctx, name)
		return changed(c.Changed, fmt.Sprintf("Demotion %s taken off; the sum is %d now.", name, c.Demotion), c.Message), true, err
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
			return fmt.Sprintf("handed over within %.2f s.", h.TookSeconds)
		}
		return fmt.Sprintf("handed over to %s within %.2f s.", h.Successor, h.TookSeconds)
	case api.OutcomeWithdrawn:
		return "stays MASTER here: maintenance was left before anybody took over."
	case api.OutcomeGivenUp:
		return "given up; nobody has taken over."
	case api.OutcomeNotTaken:
		return "not taken by anybody; it stays MASTER here."
	default:
		return "was not MASTER here; nothing to hand over."
	}
}
