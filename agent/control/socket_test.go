// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSocketForAnotherServer(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "run", "http.sock")
	s, warnings, err := ListenSocket(path, "")
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != socketMode {
		t.Errorf("mode %v, %v", fi, err)
	}
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !s.MayWrite(c) {
		t.Error("the daemon's own user may not write")
	}
	if s.MayWrite(client) {
		t.Error("a connection that was not accepted here may write")
	}
	pc := c.(*peerConn)
	pc.caller.UID = uint32(os.Geteuid()) + 1
	if s.MayWrite(pc) {
		t.Error("another user may write")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
	var _ net.Listener = s
}

// TestHangingClientsOfAnotherServer: on such a socket, too, a client that may write gets the place of one
// that hangs, and the request that lost its place is told so.
func TestHangingClientsOfAnotherServer(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	s, _, err := ListenSocket(path, "")
	if err != nil {
		t.Fatal(err)
	}
	type connKey struct{}
	awaited, lost := make(chan struct{}, maxClients+reservedClients), make(chan bool, maxClients+reservedClients)
	server := http.Server{
		ReadHeaderTimeout: time.Hour, ConnState: s.Follow,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.ContentLength == 0 {
				return
			}
			arrived := s.Await(r.Context().Value(connKey{}).(net.Conn))
			awaited <- struct{}{}
			_, _ = io.Copy(io.Discard, r.Body) // it is cut off
			lost <- !arrived()
		}),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(s) }()
	defer func() {
		if err := errors.Join(server.Close(), <-served); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	first, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := io.WriteString(first, "POST / HTTP/1.1\r\nHost: vipd\r\nContent-Length: 9\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	// The body of its request is waited for, not only the header: from here on it has waited longest.
	select {
	case <-awaited:
	case <-time.After(30 * time.Second):
		t.Fatal("the server does not wait for the first request's body")
	}
	hang(t, path, os.Geteuid(), maxClients+reservedClients-1)
	waitFor(t, "every place is taken", func() bool {
		s.listener.mu.Lock()
		defer s.listener.mu.Unlock()
		return s.listener.writers == maxClients+reservedClients
	})
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://vipd/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %s", resp.Status)
	}
	select {
	case is := <-lost:
		if !is {
			t.Error("the request that was waited for longest was not told that its place is gone")
		}
	case <-time.After(30 * time.Second):
		t.Error("the request that was waited for longest still has its place")
	}
}
