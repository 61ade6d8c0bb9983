// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/control/spec"
)

// canned answers everything with values in every field.
type canned struct {
	*fake
	err error
}

// full is a T with something in every field.
func full[T any]() T {
	var v T
	fill := func(reflect.Value) {}
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				v.Set(reflect.ValueOf(time.Date(2026, 11, 22, 14, 0, 0, 5000, time.UTC)))
				return
			}
			for _, f := range v.Fields() {
				fill(f)
			}
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem())
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			fill(v.Index(0))
			fill(v.Index(1))
		case reflect.Map:
			v.Set(reflect.MakeMap(v.Type()))
			item := reflect.New(v.Type().Elem()).Elem()
			fill(item)
			v.SetMapIndex(reflect.ValueOf("bad_hmac"), item)
		case reflect.String:
			v.SetString("text")
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Float64:
			v.SetFloat(1.5)
		case reflect.Int, reflect.Int64:
			v.SetInt(-1)
		default:
			v.SetUint(1 << 40)
		}
	}
	fill(reflect.ValueOf(&v).Elem())
	return v
}

// inWords puts values of enumerations where full wrote any text.
func inWords[T any](v T, words ...any) T {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var tree any
	if json.Unmarshal(text, &tree) != nil {
		panic("no JSON")
	}
	for i := 0; i < len(words); i += 2 {
		put(tree, words[i].(string), words[i+1])
	}
	if text, err = json.Marshal(tree); err != nil || json.Unmarshal(text, &v) != nil {
		panic("no JSON")
	}
	return v
}

func put(tree any, key string, value any) {
	switch tree := tree.(type) {
	case map[string]any:
		for k, inner := range tree {
			if _, isText := inner.(string); isText && k == key {
				tree[k] = value
			} else {
				put(inner, key, value)
			}
		}
	case []any:
		for _, inner := range tree {
			put(inner, key, value)
		}
	}
}

func (c canned) StatusByGroup(context.Context) (api.Status, iter.Seq[*api.Group], error) {
	st := inWords(full[api.Status](), "state", "MASTER", "family", "ipv4", "code", "addresses")
	return st, byGroup(st.Groups...), c.err
}

func (c canned) Group(context.Context, string) (api.Group, error) {
	return inWords(full[api.Group](), "state", "BACKUP", "family", "ipv6", "code", "version"), c.err
}

func (c canned) Why(context.Context, string) (api.Why, error) {
	return inWords(full[api.Why](), "state", "INIT"), c.err
}

func (c canned) Peers(context.Context) (api.Peers, error) {
	return inWords(full[api.Peers](), "state", "BACKUP", "code", "password"), c.err
}

func (c canned) History(context.Context, string, int) (api.History, error) {
	return inWords(full[api.History](), "from", "INIT", "to", "BACKUP"), c.err
}

func (c canned) Doctor(context.Context, int) (api.Doctor, error) {
	return inWords(full[api.Doctor](), "severity", "fault"), c.err
}

func (c canned) Incidents(context.Context) (api.Incidents, error) {
	return states(full[api.Incidents]()), c.err
}

func (c canned) Incident(context.Context, uint64) (api.Incident, error) {
	return states(full[api.Incident]()), c.err
}

func states[T any](v T) T { return inWords(v, "from", "INIT", "to", "BACKUP") }

func (c canned) Capture(context.Context, string) (api.CaptureBegin, <-chan api.CaptureLine, func(), error) {
	lines := make(chan api.CaptureLine, 1)
	lines <- states(full[api.CaptureLine]())
	close(lines)
	return full[api.CaptureBegin](), lines, func() {}, c.err
}

func (c canned) Checks(context.Context) (api.Checks, error) { return full[api.Checks](), c.err }

func (c canned) RunCheck(context.Context, string) (api.CheckRun, error) {
	return full[api.CheckRun](), c.err
}

func (c canned) Demotions(context.Context) (api.Demotions, error) {
	return full[api.Demotions](), c.err
}
func (c canned) SetEnabled(context.Context, bool) (api.Change, error) { return c.change(), c.err }
func (c canned) SetMaintenance(context.Context, bool) (api.Change, error) {
	return c.change(), c.err
}

func (c canned) EnterMaintenance(context.Context, bool) (api.Change, error) {
	return c.change(), c.err
}

func (canned) change() api.Change {
	return inWords(full[api.Change](), "outcome", "handed_over", "state", "BACKUP")
}

func (c canned) Yield(context.Context, string, bool) (api.Handover, error) {
	return inWords(full[api.Handover](), "outcome", "not_taken", "state", "MASTER"), c.err
}

func (c canned) AddDemotion(context.Context, api.NewDemotion) (api.DemotionChange, error) {
	return full[api.DemotionChange](), c.err
}

func (c canned) RemoveDemotion(context.Context, string) (api.DemotionChange, error) {
	return full[api.DemotionChange](), c.err
}

func (c canned) ResetDemotions(context.Context) (api.DemotionChange, error) {
	return full[api.DemotionChange](), c.err
}

func (c canned) ForgetPeer(context.Context, api.ForgetPeer) (api.PeerForgotten, error) {
	return full[api.PeerForgotten](), c.err
}

func (c canned) Plan(context.Context, *api.ConfigFile) (api.Plan, error) {
	return inWords(full[api.Plan](), "action", "change", "effect", "deaf"), c.err
}

func (c canned) Reload(context.Context, bool) (api.Reload, error) { return full[api.Reload](), c.err }

func (c canned) Restart(context.Context) (api.Restart, error) { return full[api.Restart](), c.err }
func (canned) Leave()                                         {}

func (c canned) Events(context.Context) (api.Event, <-chan api.Event, func()) {
	events := make(chan api.Event, 1)
	events <- inWords(full[api.Event](), "event", "transition", "from", "BACKUP", "to", "MASTER")
	close(events)
	return api.Event{Time: time.Unix(1e9, 0).UTC(), Event: api.EventBegin}, events, func() {}
}

// recorder has the deadlines of a connection, which a stream sets.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetReadDeadline(time.Time) error  { return nil }
func (recorder) SetWriteDeadline(time.Time) error { return nil }

// TestAnswersConform sends a good request and bad ones to every operation of the file,
// and holds what comes to its schema.
func TestAnswersConform(t *testing.T) {
	t.Parallel()
	file, err := spec.Load(openapiFile)
	if err != nil {
		t.Fatal(err)
	}
	root, reader := withCaller(t.Context(), Caller{UID: 0}), withCaller(t.Context(), nobody())
	bodies := map[string]string{
		"/v1/demotions": `{"name":"a","value":1}`, "/v1/peers/forget": `{"address":"192.0.2.12"}`,
	}
	for _, op := range file.Operations() {
		path := strings.NewReplacer("{name}", "a", "{id}", "1").Replace(op.Path)
		for _, tt := range []struct {
			name   string
			err    error
			ctx    context.Context
			query  string
			body   string
			status int
		}{
			{"good", nil, root, "", bodies[op.Path], 200},
			{"unknown parameter", nil, root, "?bogus=1", bodies[op.Path], 400},
			{"failed", api.Errorf(api.CodeStopping, "x"), root, "", bodies[op.Path], statusOf(api.CodeStopping)},
			{"reader", nil, reader, "", bodies[op.Path], 403},
			{"too large", nil, root, "", strings.Repeat(" ", api.MaxConfig+1), 413},
		} {
			if op.Method == http.MethodGet && (tt.name == "reader" || tt.body != "" && tt.name != "too large") ||
				op.Path == "/v1/events" && tt.name == "failed" {
				continue
			}
			body := tt.body
			if op.Method == http.MethodGet && tt.name != "too large" {
				body = ""
			}
			w := recorder{httptest.NewRecorder()}
			r := httptest.NewRequestWithContext(tt.ctx, op.Method, path+tt.query, strings.NewReader(body))
			New(canned{&fake{}, tt.err}, Options{}).Handler().ServeHTTP(w, r)
			if w.Code != tt.status {
				t.Errorf("%s %s, %s: status %d, want %d: %s", op.Method, op.Path, tt.name, w.Code, tt.status, w.Body)
				continue
			}
			if err := file.Answer(op.Method, op.Path, w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()); err != nil {
				t.Errorf("%s %s, %s: %v; %s", op.Method, op.Path, tt.name, err, remedy)
			}
		}
	}
}

// TestSpecRefuses: the schemas can fail.
func TestSpecRefuses(t *testing.T) {
	t.Parallel()
	file, err := spec.Load(openapiFile)
	if err != nil {
		t.Fatal(err)
	}
	good := `{"changed":true,"enabled":true,"maintenance":false}`
	if err := file.Answer("POST", "/v1/enable", 200, spec.JSON, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		`{}`, `null`, strings.Replace(good, "true", "1", 1), strings.Replace(good, `"changed":true,`, "", 1),
		strings.Replace(good, "{", `{"bogus":1,`, 1), strings.Replace(good, "{", `{"handovers":null,`, 1), good + "x",
	} {
		if file.Answer("POST", "/v1/enable", 200, spec.JSON, []byte(bad)) == nil {
			t.Errorf("taken: %s", bad)
		}
	}
	for _, call := range []struct {
		method, path string
		status       int
	}{{"GET", "/v1/enable", 200}, {"POST", "/v1/none", 200}, {"POST", "/v1/enable", 201}} {
		if file.Answer(call.method, call.path, call.status, spec.JSON, []byte(good)) == nil {
			t.Errorf("taken: %v", call)
		}
	}
}
