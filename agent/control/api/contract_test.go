// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vipd/agent/control/api"
)

// contract is the status as scripts know it; docs/ shows the same. Fields may be
// added elsewhere, never taken from here.
const contract = `{"version":"0.1.0","node":"fw1","enabled":true,"maintenance":false,"preempt":true,
 "demotion":0,"demotions":[{"name":"link:eth1","value":240,"reason":"x","since":"2026-11-22T14:00:00Z"}],
 "groups":[{"group":"eth0@1","interface":"eth0","vhid":1,"state":"MASTER","reason":"startup",
   "since":"2026-11-22T14:00:00Z","addresses":["192.0.2.100/24"],"virtual_mac":"00:00:5e:00:01:01",
   "advbase":1,"advskew":2,"effective_advskew":3,
   "master":{"address":"192.0.2.11","advbase":1,"advskew":4,"last_seen":"2026-11-22T14:00:00Z"},
   "standbys":[{"node":"fw2","address":"192.0.2.11","state":"BACKUP","advbase":1,"advskew":100,"effective_advskew":240,
     "demotion":140,"maintenance":false,"version":"0.1.0","last_seen":"2026-11-22T14:00:00Z","takes_over_in":3.5}],
   "dataplane":{"mode":"generic","answering":true},
   "counters":{"advertisements_sent":1,"advertisements_received":5,"advertisements_rejected":{"bad_hmac":6},
               "arp_requests":7,"arp_replies":8,"packets":9,"bytes":10}}]}`

func TestContract(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)
	got, err := json.Marshal(api.Status{
		Version: "0.1.0", Node: "fw1", Enabled: true, Preempt: true,
		Demotions: []api.Demotion{{Name: "link:eth1", Value: 240, Reason: "x", Since: at}},
		Groups: []api.Group{{
			Name: "eth0@1", Interface: "eth0", VHID: 1, State: api.StateMaster, Reason: "startup", Since: at,
			Addresses: []string{"192.0.2.100/24"}, VirtualMAC: "00:00:5e:00:01:01", AdvBase: 1, AdvSkew: 2, EffectiveAdvSkew: 3,
			Master: &api.Master{Address: "192.0.2.11", AdvBase: 1, AdvSkew: 4, LastSeen: at},
			Standbys: []api.Standby{{
				Node: "fw2", Address: "192.0.2.11", State: api.StateBackup, AdvBase: 1, AdvSkew: 100, EffectiveAdvSkew: 240,
				Demotion: 140, Version: "0.1.0", LastSeen: at, TakesOverIn: 3.5,
			}},
			Dataplane: api.Dataplane{Mode: "generic", Answering: true},
			Counters: api.Counters{
				AdvertisementsSent: 1, AdvertisementsReceived: 5, AdvertisementsRejected: map[string]uint64{"bad_hmac": 6},
				ARPRequests: 7, ARPReplies: 8, Packets: 9, Bytes: 10,
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var want, have any
	if err := json.Unmarshal([]byte(contract), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got, &have); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, onlyKnown(want, have)); diff != "" {
		t.Errorf("the contract is broken (-contract +ours):\n%s", diff)
	}
	null, err := json.Marshal(api.Group{})
	if err != nil {
		t.Fatal(err)
	}
	var group map[string]any
	if err := json.Unmarshal(null, &group); err != nil {
		t.Fatal(err)
	}
	if m, ok := group["master"]; !ok || m != nil {
		t.Errorf("master is %v when none was heard, want null", m)
	}
}

// TestAdditive: fields that came later, and what is absent when there is nothing to say.
func TestAdditive(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC)
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	d := api.Demotion{Name: "ops", Value: 1, Since: at}
	if got, want := text(d), `{"name":"ops","value":1,"reason":"","since":"2026-11-22T14:00:00Z"}`; got != want {
		t.Errorf("without expiry:\n got %s\nwant %s", got, want)
	}
	d.Expires = at.Add(time.Minute)
	want := `{"name":"ops","value":1,"reason":"","since":"2026-11-22T14:00:00Z","expires":"2026-11-22T14:01:00Z"}`
	if got := text(d); got != want {
		t.Errorf("with expiry:\n got %s\nwant %s", got, want)
	}
	none := text(api.Group{})
	for _, field := range []string{"families", "silent_family", "contexts"} {
		if bytes.Contains([]byte(none), []byte(field)) {
			t.Errorf("%s is there although nothing feeds it: %s", field, none)
		}
	}
	g := api.Group{
		Families:     []api.Family{{Family: api.FamilyIPv4, LastSeen: at}, {Family: api.FamilyIPv6, Silent: true}},
		SilentFamily: api.FamilyIPv6, Contexts: []api.Context{{Name: "own", Received: 3}, {Name: "accept 1"}},
	}
	const families = `"families":[{"family":"ipv4","last_seen":"2026-11-22T14:00:00Z","silent":false},` +
		`{"family":"ipv6","silent":true}],` +
		`"silent_family":"ipv6","contexts":[{"name":"own","received":3},{"name":"accept 1","received":0}]`
	if got := text(g); !bytes.Contains([]byte(got), []byte(families)) {
		t.Errorf("got %s\nwant %s", got, families)
	}
	for name, want := range map[string][2]bool{ // resettable, of the operator
		"ops": {true, true}, "senderr:eth0@1": {true, false}, "maintenance": {}, "link:eth0": {}, "check:a": {},
	} {
		d := api.Demotion{Name: name}
		if got := [2]bool{d.Resettable(), d.OfOperator()}; got != want {
			t.Errorf("%s: resettable, operator's: %v, want %v", name, got, want)
		}
	}
}

// onlyKnown drops what the contract does not have.
func onlyKnown(want, have any) any {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return have
		}
		maps.DeleteFunc(h, func(k string, _ any) bool { _, known := w[k]; return !known })
		for k := range h {
			h[k] = onlyKnown(w[k], h[k])
		}
	case []any:
		if h, ok := have.([]any); ok && len(h) == len(w) {
			h = slices.Clone(h)
			for i := range h {
				h[i] = onlyKnown(w[i], h[i])
			}
			return h
		}
	}
	return have
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	e := &api.Error{Code: "x", Message: "refused:", Problems: []string{"f:1: a", "f:2: b"}}
	if e.Error() != "refused:\n  f:1: a\n  f:2: b" {
		t.Errorf("%q", e.Error())
	}
	b := api.Build{Version: "1", Commit: "abc-modified", Time: "2026-11-29T13:49:59Z", GoVersion: "go1"}
	if b.String() != "1 (abc-modified of 2026-11-29T13:49:59Z, go1)" {
		t.Errorf("%q", b)
	}
	b.Commit = ""
	if b.String() != "1 (go1)" {
		t.Errorf("%q", b)
	}
	if api.ReadBuild().Version != api.Version {
		t.Error("the build has another version")
	}
}
