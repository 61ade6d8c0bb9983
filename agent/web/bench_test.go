// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"vipd/agent/control/api"
)

// BenchmarkPage4096 measures the status page of 4,096 groups, asked for once a second and without the backend's own
// work, when every master was heard since the last one.
func BenchmarkPage4096(b *testing.B) {
	n := newNode(4096)
	s := New(n, Options{})
	page := s.Handler()
	heard := time.Now()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		heard = heard.Add(time.Second)
		n.change(func(st *api.Status) {
			for i := range st.Groups {
				st.Groups[i].Master = &api.Master{Address: "192.0.2.12", AdvBase: 1, LastSeen: heard}
			}
		})
		b.StartTimer()
		if _, err := s.hub.read(b.Context()); err != nil {
			b.Fatal(err)
		}
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://localhost/", http.NoBody)
		w := httptest.NewRecorder()
		if page.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}
