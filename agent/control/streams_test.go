// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"vipd/agent/control/api"
)

// TestStreamsLeaveRoomForCommands: as many streams as there are places, and more, take a part
// of these alone; commands get through beside them, and a place that is left is to be had.
func TestStreamsLeaveRoomForCommands(t *testing.T) {
	t.Parallel()
	c := start(t, &fake{events: make(chan api.Event)})
	stream := func() (net.Conn, string) {
		conn, err := net.Dial("unix", c.Socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // some end before
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: vipd\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		return conn, answer.Status
	}
	var running []net.Conn
	for i := range 2 * (maxClients + reservedClients) {
		conn, status := stream()
		want := "200 OK"
		if i >= maxStreams+reservedStreams {
			want = "503 Service Unavailable"
		} else {
			running = append(running, conn)
		}
		if status != want {
			t.Fatalf("stream %d: %s, want %s", i, status, want)
		}
	}
	for range 2 * reservedClients {
		command(t, c.Socket)
	}
	err := c.Events(t.Context(), func([]byte) error { return nil })
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.CodeBusy {
		t.Errorf("one more stream: %v", err)
	}
	if err := running[0].Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "another stream begins", func() bool {
		conn, status := stream()
		return conn != nil && status == "200 OK"
	})
}

// patient takes deadlines, as a connection does.
type patient struct{ *httptest.ResponseRecorder }

func (patient) SetReadDeadline(time.Time) error  { return nil }
func (patient) SetWriteDeadline(time.Time) error { return nil }

// TestReadersLeaveStreamsToRoot: those who may only read have fewer.
func TestReadersLeaveStreamsToRoot(t *testing.T) {
	t.Parallel()
	s := New(&fake{events: make(chan api.Event)}, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	begin := func(by Caller) {
		r := httptest.NewRequestWithContext(withCaller(ctx, by), http.MethodGet, "/v1/events", nil)
		go func() {
			s.Handler().ServeHTTP(patient{httptest.NewRecorder()}, r)
			ended <- struct{}{}
		}()
	}
	for range maxStreams {
		begin(nobody())
	}
	waitFor(t, "the readers' streams run", func() bool { return s.running.Load() == maxStreams })
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(withCaller(ctx, nobody()), http.MethodGet, "/v1/events", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("one more of a reader: %d %s", w.Code, w.Body)
	}
	begin(Caller{UID: uint32(os.Geteuid())})
	waitFor(t, "root's stream runs", func() bool { return s.running.Load() == maxStreams+1 })
	cancel()
	for range maxStreams + 1 {
		<-ended
	}
	if n := s.running.Load(); n != 0 {
		t.Errorf("%d streams are counted that have ended", n)
	}
}
