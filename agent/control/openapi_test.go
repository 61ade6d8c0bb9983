// SPDX-License-Identifier: Apache-2.0

package control

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"vipd/agent/control/api"
	"vipd/agent/control/spec"
	"vipd/tests/goldenfile"
)

const (
	openapiFile = "../../docs/openapi.json"
	apiPage     = "../../docs/api.md"
	remedy      = "describe it in operations() of agent/control/openapi_test.go and in docs/api.md, then run\n" +
		"\tgo test ./agent/control -run OpenAPI -update"
)

// operation is what the OpenAPI file says of one method of one path, beside what the
// types and comments of agent/control/api say.
type operation struct {
	method, path string
	summary      string
	request      any // the type of the body
	optional     bool
	toml         bool // the body is a config file
	answer       any
	stream       bool
	params       []parameter
	refusals     []string // codes beside those that every request may meet
}

type parameter struct {
	name, kind, text string
}

// operations is the one place beside routes() where a route is written down.
func operations() []operation {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	group := []string{api.CodeNoSuchGroup}
	return []operation{
		{method: get, path: "/v1/status", summary: "The node and all its groups", answer: api.Status{}},
		{method: get, path: "/v1/groups/{name}", summary: "One group", answer: api.Group{}, refusals: group},
		{
			method:   post,
			path:     "/v1/groups/{name}/yield",
			summary:  "Hand over one group to another node, and wait for the successor",
			request:  api.YieldRequest{},
			optional: true,
			answer:   api.Handover{},
			refusals: []string{api.CodeNoSuchGroup, api.CodeNoSuccessor, api.CodeNotMaster},
		},
		{
			method:   get,
			path:     "/v1/why/{name}",
			summary:  "Why a group is in its state, and what would change it",
			answer:   api.Why{},
			refusals: group,
		},
		{
			method:  get,
			path:    "/v1/peers",
			summary: "The other nodes that were heard, with what they reported about themselves",
			answer:  api.Peers{},
		},
		{
			method:   get,
			path:     "/v1/history",
			summary:  "Past transitions, oldest first",
			answer:   api.History{},
			refusals: group,
			params: []parameter{
				{"group", "string", "Only those of this group."},
				{"n", "integer", "Only the newest n, from 1."},
			},
		},
		{
			method:  get,
			path:    "/v1/events",
			summary: "Events as they happen, one JSON object per line, until the client disconnects",
			answer:  api.Event{},
			stream:  true,
		},
		{
			method:  get,
			path:    "/v1/doctor",
			summary: "Find causes of faults: watch the segment for some seconds and change nothing",
			answer:  api.Doctor{},
			params:  []parameter{{"seconds", "integer", "How long to watch the segment, 1..30."}},
		},
		{
			method:  get,
			path:    "/v1/records",
			summary: "The incidents of the flight recorder, oldest first and without their records",
			answer:  api.Incidents{},
		},
		{
			method:   get,
			path:     "/v1/records/{id}",
			summary:  "One incident with its records; with frames for users who may change vipd",
			answer:   api.Incident{},
			refusals: []string{api.CodeNotFound},
		},
		{
			method: get,
			path:   "/v1/groups/{name}/capture",
			summary: "What the data plane hears, judges and sends for a group, one JSON object per line, until the client " +
				"disconnects; for users who may change vipd",
			answer:   api.CaptureLine{},
			stream:   true,
			refusals: group,
		},
		{
			method:  post,
			path:    "/v1/disable",
			summary: "Release all virtual IPs until enable or a reboot",
			answer:  api.Change{},
		},
		{method: post, path: "/v1/enable", summary: "Enable CARP again on this node", answer: api.Change{}},
		{
			method:   post,
			path:     "/v1/peers/forget",
			summary:  "Believe advertisements of an address without a trailer again",
			request:  api.ForgetPeer{},
			answer:   api.PeerForgotten{},
			refusals: []string{api.CodeNotFound, api.CodeNoSuchGroup},
		},
		{method: get, path: "/v1/maintenance", summary: "The operator's switches", answer: api.Change{}},
		{
			method:   post,
			path:     "/v1/maintenance/enter",
			summary:  "Enter maintenance mode: the other nodes are asked to take over",
			request:  api.MaintenanceRequest{},
			optional: true,
			answer:   api.Change{},
			refusals: []string{api.CodeNoSuccessor},
		},
		{method: post, path: "/v1/maintenance/leave", summary: "Leave maintenance mode", answer: api.Change{}},
		{
			method:  get,
			path:    "/v1/checks",
			summary: "The health checks with their verdicts and last results",
			answer:  api.Checks{},
		},
		{
			method:   post,
			path:     "/v1/checks/{name}/run",
			summary:  "Run a health check now, as its timer does, without changing the verdict",
			answer:   api.CheckRun{},
			refusals: []string{api.CodeNotFound},
		},
		{method: get, path: "/v1/demotions", summary: "The demotions of this node", answer: api.Demotions{}},
		{
			method:   post,
			path:     "/v1/demotions",
			summary:  "Add a demotion, or replace the one of that name",
			request:  api.NewDemotion{},
			answer:   api.DemotionChange{},
			refusals: []string{api.CodeReserved},
		},
		{
			method:   del,
			path:     "/v1/demotions/{name}",
			summary:  "Remove a demotion",
			answer:   api.DemotionChange{},
			refusals: []string{api.CodeReserved},
		},
		{
			method:  post,
			path:    "/v1/demotions/reset",
			summary: "Remove all manual demotions and those for errors",
			answer:  api.DemotionChange{},
		},
		{
			method:  del,
			path:    "/v1/demotions/reset",
			summary: "Remove the demotion named reset",
			answer:  api.DemotionChange{},
		},
		{
			method:   post,
			path:     "/v1/plan",
			summary:  "What a reload of a config would change; without body and parameters, of vipd's own file",
			toml:     true,
			optional: true,
			answer:   api.Plan{},
			refusals: []string{api.CodeInvalidConfig, api.CodeNoRoom},
			params: []parameter{
				{"name", "string", "The file name in reported problems."},
				{
					"mode",
					"string",
					"Permission bits of its file in octal; 600 if absent. A world-readable file must not contain a password.",
				},
			},
		},
		{
			method:   post,
			path:     "/v1/reload",
			summary:  "Read the config again and apply what changed",
			answer:   api.Reload{},
			refusals: []string{api.CodeInvalidConfig, api.CodeNoGroups, api.CodeNoRoom},
			params: []parameter{
				{"force", "boolean", "Apply a config without groups while groups run; every virtual IP is released."},
			},
		},
		{method: post, path: "/v1/restart", summary: "Leave without a goodbye, for the next vipd", answer: api.Restart{}},
	}
}

// TestOpenAPI holds the file to the types, and both to the routes.
func TestOpenAPI(t *testing.T) {
	text, err := json.MarshalIndent(document(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	goldenfile.Compare(
		t,
		openapiFile,
		string(text)+"\n",
		"it is behind the types of agent/control/api; run\n\tgo test ./agent/control -run OpenAPI -update\n",
	)
}

// TestOpenAPIRoutes holds the file to the server, in both directions.
func TestOpenAPIRoutes(t *testing.T) {
	t.Parallel()
	s, err := spec.Load(openapiFile)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(apiPage)
	if err != nil {
		t.Fatal(err)
	}
	var served, written []string
	for _, rt := range New(&fake{}, Options{}).routes() {
		for method := range strings.SplitSeq(rt.methods(), ", ") {
			query := slices.Sorted(slices.Values(rt.query))
			if method != http.MethodGet && rt.get != nil {
				query = nil // a path with both has them for reading
			}
			served = append(served, strings.TrimSpace(method+" "+rt.path+" "+strings.Join(query, " ")))
		}
	}
	for _, st := range New(&fake{}, Options{}).streams() {
		served = append(served, http.MethodGet+" "+st.path)
	}
	for _, op := range s.Operations() {
		written = append(written, strings.TrimSpace(op.Method+" "+op.Path+" "+strings.Join(op.Query, " ")))
	}
	for _, r := range served {
		if !slices.Contains(written, r) {
			t.Errorf("the server has %s, and %s has not: %s", r, openapiFile, remedy)
		}
		if method, path, _ := strings.Cut(r, " "); !strings.Contains(string(page), "`"+method+" "+strings.Fields(path)[0]) {
			t.Errorf("%s does not tell of %s", apiPage, r)
		}
	}
	for _, r := range written {
		if !slices.Contains(served, r) {
			t.Errorf(
				"%s has %s, and the server has not: take it out of operations() in agent/control/openapi_test.go",
				openapiFile,
				r,
			)
		}
	}
	for code := range codes(t) {
		if !strings.Contains(string(page), "`"+code+"`") {
			t.Errorf("%s does not tell of the code %s", apiPage, code)
		}
	}
}

// codes are all of agent/control/api with their HTTP status.
func codes(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, c := range readSource(t).constants["Code"] {
		out[c] = statusOf(c)
	}
	if len(out) < 10 {
		t.Fatalf("codes %v", out)
	}
	return out
}
