// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"vipd/agent/control/api"
)

// TestTooManyClients: a client that fills the socket is refused and takes nothing from
// the places kept for root.
func TestTooManyClients(t *testing.T) {
	t.Parallel()
	l := &listener{}
	var release []func()
	for range maxClients {
		r, ok := l.admit(false)
		if !ok {
			t.Fatal("refused below the limit")
		}
		release = append(release, r)
	}
	if _, ok := l.admit(false); ok {
		t.Error("a reader beyond the limit")
	}
	for range reservedClients {
		if _, ok := l.admit(true); !ok {
			t.Error("root was locked out")
		}
	}
	if _, ok := l.admit(true); ok {
		t.Error("root beyond the limit")
	}
	for _, r := range release[:reservedClients+1] {
		r()
		r() // twice is once
	}
	if _, ok := l.admit(false); !ok {
		t.Error("a place given back is not to be had")
	}
}

// TestBusyAnswer fills a real socket with requests that have begun, which nobody
// evicts; as root the limit is that of writers.
func TestBusyAnswer(t *testing.T) {
	t.Parallel()
	f := &fake{block: make(chan struct{}), entered: make(chan struct{})}
	c := start(t, f)
	var held []net.Conn
	for range maxClients + reservedClients {
		conn, err := net.Dial("unix", c.Socket)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
		if _, err := io.WriteString(conn, "POST /v1/enable HTTP/1.1\r\nHost: vipd\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-f.entered
	}
	_, err := c.Status(t.Context())
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeBusy {
		t.Errorf("beyond the limit: %v", err)
	}
	close(f.block)
	for _, conn := range held {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		if _, err = c.Status(t.Context()); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after they left: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}
