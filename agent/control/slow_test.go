// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

// TestSlowClients: who sends slowly, or reads not at all, loses its own connection; others
// are served meanwhile, and nothing was changed.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	f := &fake{}
	path := filepath.Join(t.TempDir(), "s")
	s := New(f, Options{Socket: path})
	if s.http.ReadHeaderTimeout != headerTimeout || s.http.ReadTimeout != bodyTimeout ||
		s.http.WriteTimeout != answerTimeout ||
		s.http.IdleTimeout != idleTimeout ||
		s.http.MaxHeaderBytes != maxHeaderBytes {
		t.Error("the server does not have its limits")
	}
	const patience = 300 * time.Millisecond // the same limits, shorter
	s.http.ReadHeaderTimeout, s.http.ReadTimeout, s.http.IdleTimeout = patience, patience, patience
	run(t, s)
	for name, text := range map[string]string{
		"nothing":      "",
		"half header":  "POST /v1/disable HTTP/1.1\r\nHost: vipd\r\n",
		"half body":    "POST /v1/demotions HTTP/1.1\r\nHost: vipd\r\nContent-Length: 100\r\n\r\n{\"name\":",
		"idle after":   "GET /v1/status HTTP/1.1\r\nHost: vipd\r\n\r\n",
		"large header": "POST /v1/disable HTTP/1.1\r\nHost: vipd\r\nX: " + strings.Repeat("x", 2*maxHeaderBytes),
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, text); err != nil && name != "large header" {
			t.Fatal(err)
		}
		if st, err := (&api.Client{Socket: path}).Status(t.Context()); err != nil || st.Node != "fw1" {
			t.Errorf("%s: another client got %v", name, err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection was not closed, it has %q", name, answer)
		}
		if strings.HasPrefix(string(answer), "HTTP/1.1 200") != (name == "idle after") {
			t.Errorf("%s: answer %q", name, answer)
		}
	}
	if len(f.changes) > 0 {
		t.Errorf("changed %q", f.changes)
	}
}
