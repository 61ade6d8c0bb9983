// SPDX-License-Identifier: Apache-2.0

package ordinary

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"time"
)

// Serve runs a handler in a turn, at most patience after the request came, and sends its answer afterwards: a client
// that reads slowly delays no other. The handler waits for others in [Outside] and cannot flush. busy answers a request
// that got no turn.
func (g *Gate) Serve(
	w http.ResponseWriter, r *http.Request, patience time.Duration,
	next http.Handler, busy func(http.ResponseWriter, error),
) {
	a := &answer{ResponseWriter: w}
	handle := func(ctx context.Context) { next.ServeHTTP(a, r.WithContext(ctx)) }
	if err := g.Do(r.Context(), patience, handle); err != nil {
		busy(w, err)
		return
	}
	a.send()
}

// Admit is Serve for a handler that waits for long or sends as it goes: it runs after a turn, on the calling thread,
// and takes further ones by itself.
func (g *Gate) Admit(
	w http.ResponseWriter, r *http.Request, patience time.Duration,
	next http.Handler, busy func(http.ResponseWriter, error),
) {
	if err := g.Do(r.Context(), patience, func(context.Context) {}); err != nil {
		busy(w, err)
		return
	}
	next.ServeHTTP(w, r)
}

// answer keeps what a handler writes. Its header is that of the response.
type answer struct {
	http.ResponseWriter
	status int // 0 = not written yet
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len() == 0 { // a buffer that grows takes several times as much
		if n, err := strconv.Atoi(a.Header().Get("Content-Length")); err == nil && n > len(b) {
			a.body.Grow(n)
		}
	}
	return a.body.Write(b)
}

// Unwrap supports [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) send() {
	if a.status == 0 {
		return // net/http answers 200 without a body
	}
	a.ResponseWriter.WriteHeader(a.status)
	_, _ = a.body.WriteTo(a.ResponseWriter) // a client that has left or is too slow is closed by net/http
}
