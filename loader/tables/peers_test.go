// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"net/netip"
	"testing"

	"vipd/loader/object"
)

// TestPeerOf: a peer that has been BACKUP for long is as well known by its hellos as a MASTER by its adverts. Otherwise
// `vipctl peer forget` would not find it, and the file for the next boot would lose it.
func TestPeerOf(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.3")
	for name, c := range map[string]struct {
		val  object.BPFPeerVal
		want Peer
	}{
		"adverts alone":         {object.BPFPeerVal{Number: 7, At: 70}, Peer{addr, 7, 70}},
		"hellos alone":          {object.BPFPeerVal{Number: 7, At: 70, Hello: 7, HelloAt: 70}, Peer{addr, 7, 70}},
		"hellos since":          {object.BPFPeerVal{Number: 7, At: 70, Hello: 9, HelloAt: 90}, Peer{addr, 9, 90}},
		"adverts after a hello": {object.BPFPeerVal{Number: 9, At: 90, Hello: 7, HelloAt: 70}, Peer{addr, 9, 90}},
	} {
		if got := peerOf(object.BPFSourceKey{Src: addr.As16()}, c.val); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
