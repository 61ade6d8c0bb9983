// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net"
	"os"
	"path/filepath"
	"testing"
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
