// SPDX-License-Identifier: Apache-2.0

package control

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vipd/agent/control/api"
)

func TestDemotions(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c := start(t, f)
	ctx := t.Context()
	if raw, err := c.RawDemotions(ctx); err != nil || string(raw) != `{"demotion":7,"demotions":[]}` {
		t.Errorf("list %s, %v", raw, err)
	}
	if d, err := c.Demotions(ctx); err != nil || d.Demotion != 7 {
		t.Errorf("list %+v, %v", d, err)
	}
	for _, d := range []api.NewDemotion{
		{Name: "ops", Value: -255},
		{Name: "2026.upgrade_x-1", Value: 255, For: 600, Reason: "Wartung, für Büro"},
		{Name: "reset", Value: 1},
	} {
		if ch, err := c.AddDemotion(ctx, d); err != nil || !ch.Changed || ch.Demotion != 7 {
			t.Errorf("add %+v: %+v, %v", d, ch, err)
		}
	}
	for _, name := range []string{"ops", "senderr:eth0@1", "reset"} {
		if _, err := c.RemoveDemotion(ctx, name); err != nil {
			t.Errorf("remove %s: %v", name, err)
		}
	}
	if _, err := c.ResetDemotions(ctx); err != nil {
		t.Error(err)
	}
	want := []string{
		`add ops -255 0s ""`, `add 2026.upgrade_x-1 255 10m0s "Wartung, für Büro"`, `add reset 1 0s ""`,
		"remove ops", "remove senderr:eth0@1", "remove reset", "reset",
	}
	if diff := cmp.Diff(want, f.done()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	for _, name := range []string{"", "..", "a/b", "maintenance", "link:eth0", "check:a"} {
		var e *api.Error
		if _, err := c.RemoveDemotion(ctx, name); !errors.As(err, &e) {
			t.Errorf("remove %q: %v", name, err)
		}
	}
	if n := len(f.done()); n != len(want) {
		t.Errorf("%d changes after refusals, want %d", n, len(want))
	}
}

// TestDemotionBody: the request is strict, and every refusal says what is allowed.
func TestDemotionBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"name":"ops","value":1}`, 200, ""},
		{" {\n\"reason\": \"\", \"for\": 0, \"value\": 1, \"name\": \"ops\"} \n", 200, ""},
		{`[]`, 400, "the request body is not a JSON object: it does not begin with {"},
		{`"ops"`, 400, "the request body is not a JSON object: it does not begin with {"},
		{`{`, 400, "the request body is not a JSON object: unexpected EOF"},
		{`{"name":"ops","value":1`, 400, "the request body is not a JSON object: unexpected EOF"},
		{
			`{"name":"ops" "value":1}`, 400,
			"the request body is not a JSON object: invalid character '\"' after object key:value pair",
		},
		{`{"name":"ops","value":1}{}`, 400, "the request body is not a JSON object: text follows it"},
		{`{"name":"ops","value":1} x`, 400, "the request body is not a JSON object: text follows it"},
		{`{"name":"ops","value":1,"name":"x"}`, 400, "name is given more than once in the request body"},
		{
			`{"Name":"ops","value":1,"until":2}`, 400,
			"unknown fields in the request body: Name, until; allowed are name, value, for, reason",
		},
		{`{"value":1}`, 400, "name is missing in the request body"},
		{`{"name":"ops"}`, 400, "value is missing in the request body"},
		{`{"name":"ops","value":null}`, 400, "value is null in the request body; it must be an integer"},
		{`{"name":null,"value":1}`, 400, "name is null in the request body; it must be a string"},
		{`{"name":"ops","value":1.5}`, 400, "value is 1.5 in the request body; it must be an integer"},
		{`{"name":"ops","value":1e99}`, 400, "value is 1e99 in the request body; it must be an integer"},
		{`{"name":"ops","value":"1"}`, 400, `value is "1" in the request body; it must be an integer`},
		{`{"name":7,"value":1}`, 400, "name is 7 in the request body; it must be a string"},
		{`{"name":"ops","value":0}`, 400, "0 is not a valid demotion; allowed are 1..255, and -1..-255 to offset others"},
		{`{"name":"ops","value":256}`, 400, "256 is not a valid demotion; allowed are 1..255, and -1..-255 to offset others"},
		{
			`{"name":"","value":1}`, 400,
			`"" is not a valid name for a demotion; allowed are 1..64 letters, digits, '.', '_' and '-', a ` +
				`letter or digit first`,
		},
		{
			`{"name":"-x","value":1}`, 400,
			`"-x" is not a valid name for a demotion; allowed are 1..64 letters, digits, '.', '_' and '-', a ` +
				`letter or digit first`,
		},
		{
			`{"name":"a b","value":1}`, 400,
			`"a b" is not a valid name for a demotion; allowed are 1..64 letters, digits, '.', '_' and '-', ` +
				`a letter or digit first`,
		},
		{
			`{"name":"maintenance","value":1}`, 409,
			"maintenance is the daemon's own demotion: `vipctl maintenance enter` adds it, and it survives a reboot",
		},
		{
			`{"name":"link:eth0","value":1}`, 409,
			`"link:eth0" has a colon; such names are the daemon's own (link:, source:, check:, senderr:); choose another`,
		},
		{
			`{"name":"check:x","value":1}`, 409,
			`"check:x" has a colon; such names are the daemon's own (link:, source:, check:, senderr:); choose another`,
		},
		{
			`{"name":"senderr:eth0@1","value":1}`, 409,
			`"senderr:eth0@1" has a colon; such names are the daemon's own (link:, source:, check:, senderr:); choose another`,
		},
		{
			`{"name":"ops","value":1,"for":-1}`, 400,
			"a demotion cannot last -1 s; allowed are 1..31536000 seconds, or 0 until it is removed",
		},
		{
			`{"name":"ops","value":1,"for":31536001}`, 400,
			"a demotion cannot last 31536001 s; allowed are 1..31536000 seconds, or 0 until it is removed",
		},
		{`{"name":"ops","value":1,"reason":"a\nb"}`, 400, "the reason must be one line of at most 255 printable bytes"},
		{
			`{"name":"ops","value":1,"reason":"` + strings.Repeat("x", 256) + `"}`, 400,
			"the reason must be one line of at most 255 printable bytes",
		},
	} {
		f := &fake{}
		r := httptest.NewRequestWithContext(
			withCaller(t.Context(), Caller{UID: 0}),
			http.MethodPost,
			"/v1/demotions",
			strings.NewReader(tt.body),
		)
		w := httptest.NewRecorder()
		New(f, Options{}).Handler().ServeHTTP(w, r)
		var e api.ErrorBody
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Fatalf("%s: %s: %v", tt.body, w.Body, err)
		}
		got := ""
		if e.Error != nil {
			got = e.Error.Message
		}
		if w.Code != tt.status || got != tt.want {
			t.Errorf("%.100s\nwant %d %s\n got %d %s", tt.body, tt.status, tt.want, w.Code, got)
		}
		if changed := f.done() != nil; changed != (tt.status == http.StatusOK) {
			t.Errorf("%.100s: changed %v", tt.body, f.done())
		}
	}
}

// FuzzObject: no panic, and what is accepted is an object to the library too.
func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"name":"ops","value":1}`))
	f.Add([]byte(`{"name":"ops","value":[{"a":}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var d api.NewDemotion
		if decodeObject(body, member{"name", &d.Name, true}, member{"value", &d.Value, true}) != nil {
			return
		}
		var library api.NewDemotion
		if err := json.Unmarshal(body, &library); err != nil || library != d {
			t.Errorf("%q: ours %+v, the library's %+v, %v", body, d, library, err)
		}
	})
}
