// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"vipd/agent/control/api"
)

// endpoint answers one method of one path with a value that is sent as JSON.
type endpoint func(ctx context.Context, r *http.Request) (any, error)

// route is a path with its methods. All except get may change something.
type route struct {
	path string
	get  endpoint
	verb endpoint // POST
	del  endpoint // DELETE
	// patient is true if the backend limits the time, by what the protocol needs.
	patient bool
	// waits is true if a read waits for more than its turn.
	waits bool
	// body is a POST that reads its request body.
	body func(ctx context.Context, r *http.Request, request []byte) (any, error)
	// then is called when the answer to a verb that succeeded was sent.
	then func()
	// limit is the size of that body in bytes; 0 means maxBodyBytes.
	limit int64
	// query are the allowed parameters. Others are refused, since a request for a newer daemon
	// must not be applied in part.
	query []string
}

// methods lists the methods of the route.
func (rt *route) methods() string {
	var out []string
	if rt.get != nil {
		out = append(out, http.MethodGet)
	}
	if rt.verb != nil || rt.body != nil {
		out = append(out, http.MethodPost)
	}
	if rt.del != nil {
		out = append(out, http.MethodDelete)
	}
	return strings.Join(out, ", ")
}

// endpoint returns the endpoint for a method, or nil if the method is not allowed.
func (rt *route) endpoint(method string, request []byte) endpoint {
	switch method {
	case http.MethodGet, http.MethodHead:
		return rt.get
	case http.MethodPost:
		if rt.body != nil {
			return func(ctx context.Context, r *http.Request) (any, error) { return rt.body(ctx, r, request) }
		}
		return rt.verb
	case http.MethodDelete:
		return rt.del
	}
	return nil
}

func (s *Server) routes() []route {
	enabled := func(on bool) endpoint {
		return func(ctx context.Context, _ *http.Request) (any, error) { return s.backend.SetEnabled(ctx, on) }
	}
	return []route{
		{path: "/v1/status", get: s.status},
		{path: "/v1/groups/{name}", get: s.group},
		{path: "/v1/groups/{name}/yield", body: s.yield, patient: true},
		{path: "/v1/disable", verb: enabled(false)},
		{path: "/v1/enable", verb: enabled(true)},
		{path: "/v1/why/{name}", get: func(ctx context.Context, r *http.Request) (any, error) {
			w, err := s.backend.Why(ctx, r.PathValue("name"))
			if w.Standbys == nil {
				w.Standbys = []api.Standby{}
			}
			return w, err
		}},
		{path: "/v1/peers", get: func(ctx context.Context, _ *http.Request) (any, error) { return s.backend.Peers(ctx) }},
		{path: "/v1/history", get: s.history, query: []string{"group", "n"}},
		{path: "/v1/doctor", get: s.doctor, query: []string{"seconds"}, waits: true},
		{
			path: "/v1/records",
			get:  func(ctx context.Context, _ *http.Request) (any, error) { return s.backend.Incidents(ctx) },
		},
		{path: "/v1/records/{id}", get: s.incident},
		{path: "/v1/maintenance", get: s.maintenance},
		{path: "/v1/maintenance/enter", body: s.enterMaintenance, patient: true},
		{
			path: "/v1/maintenance/leave",
			verb: func(ctx context.Context, _ *http.Request) (any, error) { return s.backend.SetMaintenance(ctx, false) },
		},
		{path: "/v1/checks", get: s.checks},
		{path: "/v1/checks/{name}/run", verb: s.runCheck, patient: true},
		{path: "/v1/demotions", get: s.demotions, body: s.addDemotion},
		{path: "/v1/demotions/{name}", del: s.removeDemotion},
		{
			path: "/v1/demotions/reset",
			verb: func(ctx context.Context, _ *http.Request) (any, error) { return s.backend.ResetDemotions(ctx) },
			del: func(ctx context.Context, _ *http.Request) (any, error) { // the demotion named reset
				return s.backend.RemoveDemotion(ctx, "reset")
			},
		},
		{path: "/v1/peers/forget", body: s.forgetPeer},
		{
			path: "/v1/restart",
			verb: func(ctx context.Context, _ *http.Request) (any, error) { return s.backend.Restart(ctx) },
			then: s.backend.Leave,
		},
		{path: "/v1/plan", body: s.plan, limit: api.MaxConfig, query: []string{"name", "mode"}},
		{path: "/v1/reload", verb: s.reload, query: []string{"force"}},
	}
}

// stream is a path that answers GET with JSON lines until the client disconnects.
type stream struct {
	path  string
	serve http.HandlerFunc
}

func (s *Server) streams() []stream {
	return []stream{
		{"/v1/events", s.events},
		{"/v1/groups/{name}/capture", s.capture},
	}
}

// waiting returns the paths of the reads that wait for more than their turn.
func (s *Server) waiting() (paths []string) {
	for _, rt := range s.routes() {
		if rt.waits {
			paths = append(paths, rt.path)
		}
	}
	for _, st := range s.streams() {
		paths = append(paths, st.path)
	}
	return paths
}

func (s *Server) status(ctx context.Context, _ *http.Request) (any, error) {
	st, groups, err := s.backend.StatusByGroup(ctx)
	if err != nil {
		return nil, err
	}
	return statusJSON(&st, groups)
}

func (s *Server) group(ctx context.Context, r *http.Request) (any, error) {
	g, err := s.backend.Group(ctx, r.PathValue("name"))
	if err == nil {
		fillGroup(&g)
	}
	return g, err
}

func (s *Server) reload(ctx context.Context, r *http.Request) (any, error) {
	force := false
	if q := r.URL.Query(); q.Has("force") {
		var err error
		if force, err = strconv.ParseBool(q.Get("force")); err != nil {
			return nil, api.Errorf(api.CodeBadRequest, "force is %.20q; allowed are true and false", q.Get("force"))
		}
	}
	return s.backend.Reload(ctx, force)
}

func (s *Server) maintenance(ctx context.Context, _ *http.Request) (any, error) {
	st, _, err := s.backend.StatusByGroup(ctx)
	return api.Change{Enabled: st.Enabled, Maintenance: st.Maintenance}, err
}

// fillGroup replaces nil lists, so that clients see [] and not null.
func fillGroup(g *api.Group) {
	if g.Addresses == nil {
		g.Addresses = []string{}
	}
	if g.Standbys == nil {
		g.Standbys = []api.Standby{}
	}
	if g.Counters.AdvertisementsRejected == nil {
		g.Counters.AdvertisementsRejected = map[string]uint64{}
	}
}

// Handler serves the API without a socket. Unknown callers may read.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range s.routes() {
		mux.HandleFunc(rt.path, func(w http.ResponseWriter, r *http.Request) { s.serve(rt, w, r) })
	}
	for _, st := range s.streams() {
		mux.HandleFunc(st.path, st.serve)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, api.Errorf(api.CodeNotFound, "there is no %.100q; start with GET /v1/status", r.URL.Path))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(api.VersionHeader, api.Version)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		// Only browsers send Origin, and they must not use this API. Host is arbitrary for a unix
		// socket and is not checked.
		if r.Header.Get("Origin") != "" {
			s.refuse(w, r, api.Errorf(api.CodeForbidden, "requests from web pages are refused"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// serve makes all checks before it calls the backend: a refused request changes nothing.
func (s *Server) serve(rt route, w http.ResponseWriter, r *http.Request) {
	if rt.endpoint(r.Method, nil) == nil {
		allow := rt.methods()
		w.Header().Set("Allow", allow)
		s.refuse(w, r, api.Errorf(api.CodeMethodNotAllowed, "%s does not allow %s; use %s", r.URL.Path, r.Method, allow))
		return
	}
	verb := r.Method != http.MethodGet && r.Method != http.MethodHead
	if verb && !callerOf(r.Context()).mayWrite() {
		s.refuse(w, r, api.Errorf(api.CodeForbidden,
			"only root may change vipd, and you may read; run the command with sudo"))
		return
	}
	if err := checkParameters(r, rt.query); err != nil {
		s.refuse(w, r, err)
		return
	}
	body, err := s.awaitBody(w, r, cmp.Or(rt.limit, maxBodyBytes))
	if err == nil && (rt.body == nil || r.Method != http.MethodPost) {
		err = emptyBody(body)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	ctx, cancel := r.Context(), func() {}
	if verb { // it is completed even if the client disconnects
		ctx = context.WithoutCancel(ctx)
		if !rt.patient {
			ctx, cancel = context.WithTimeout(ctx, verbTimeout)
		}
		caller := callerOf(ctx)
		s.log.Info("control request", "method", r.Method, "path", r.URL.Path, "uid", caller.UID, "pid", caller.PID)
	}
	defer cancel()
	if rt.patient {
		s.writeBy(w, time.Time{})
	}
	v, err := rt.endpoint(r.Method, body)(ctx, r)
	if rt.patient {
		s.writeBy(w, time.Now().Add(answerTimeout-verbTimeout))
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.answer(w, http.StatusOK, v)
	if rt.then != nil {
		if err := http.NewResponseController(w).Flush(); err != nil {
			s.log.Debug("control client disconnected", "err", err)
		}
		rt.then()
	}
}

// writeBy sets the deadline for writing the answer; the zero time means none.
func (s *Server) writeBy(w http.ResponseWriter, at time.Time) {
	if err := http.NewResponseController(w).SetWriteDeadline(at); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.log.Debug("cannot set the deadline of an answer", "err", err)
	}
}

// refuse answers with an api.Error, or with internal for any other error.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*api.Error](err)
	switch {
	case ok:
	case errors.Is(err, context.DeadlineExceeded):
		e = api.Errorf(api.CodeTimeout, "vipd did not finish in time: %v; look at its log", err)
	default:
		e = api.Errorf(api.CodeInternal, "%v", err)
		s.log.Error("control request failed", "path", r.URL.Path, "err", err)
	}
	status := e.Status
	if status == 0 {
		status = statusOf(e.Code)
	}
	s.answer(w, status, api.ErrorBody{Error: e})
}

func statusOf(code string) int {
	switch code {
	case api.CodeBadRequest:
		return http.StatusBadRequest
	case api.CodeForbidden:
		return http.StatusForbidden
	case api.CodeNotFound, api.CodeNoSuchGroup:
		return http.StatusNotFound
	case api.CodeReserved, api.CodeNoSuccessor, api.CodeNotMaster, api.CodeNoGroups, api.CodeNoRoom, api.CodeWithdrawn:
		return http.StatusConflict
	case api.CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case api.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case api.CodeInvalidConfig:
		return http.StatusUnprocessableEntity
	case api.CodeBusy, api.CodeStopping:
		return http.StatusServiceUnavailable
	case api.CodeTimeout:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

func (s *Server) answer(w http.ResponseWriter, status int, v any) {
	body, ok := v.(*pieces)
	if !ok {
		var err error
		if body, err = jsonOf(v); err != nil { // only a time after the year 9999 or a NaN fails
			s.log.Error("cannot write a control answer as JSON", "err", err)
			status = http.StatusInternalServerError
			// Strings alone: it cannot fail.
			body, _ = jsonOf(api.ErrorBody{Error: api.Errorf(api.CodeInternal, "the answer cannot be written as JSON")})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(body.size)) // an answer that is flushed is complete
	w.WriteHeader(status)
	if err := body.writeTo(w); err != nil {
		s.log.Debug("control client disconnected", "err", err)
	}
}
