// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"maps"
	"net/netip"

	"vipd/agent/election"
	"vipd/agent/view"
)

// Voices is which nodes say hello over an interface. Many groups share it: each reports the more rarely, the more of
// them there are, and any of their hellos shows that the node lives. The zero Voices has heard none.
type Voices struct{ byAddr map[netip.Addr]*speaker }

// speaker is an address that says hello.
type speaker struct {
	voice view.Voice
	run   uint8 // of its process; 0: not known
}

// Of returns the voice of an address. Those that were silent for too long make room for a new one.
func (v *Voices) Of(addr netip.Addr, now election.Instant) *view.Voice {
	if known := v.byAddr[addr]; known != nil {
		return &known.voice
	}
	if v.byAddr == nil {
		v.byAddr = map[netip.Addr]*speaker{}
	}
	maps.DeleteFunc(v.byAddr, func(_ netip.Addr, s *speaker) bool { return now.Sub(s.voice.At()) > view.PeerKept })
	s := &speaker{}
	v.byAddr[addr] = s
	return &s.voice
}

// Restarted notes the run that a hello of an address stated. It reports whether this is another process than before,
// which knows nothing of what was said to that one.
func (v *Voices) Restarted(addr netip.Addr, run uint8) bool {
	s := v.byAddr[addr]
	if s == nil || run == 0 || run == s.run {
		return false
	}
	before := s.run
	s.run = run
	return before != 0
}
