// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// genericXDP is the XDP program as generic mode has it: for frames in one piece, which the kernel makes of those that are
// not. For a program that takes several buffers Linux 6.9 and newer hand on a copy of nearly every frame, which has
// lost the length of its Ethernet header: somebody's tc programs on ingress would find the IP packet in its place
// (skb_pp_cow_data in net/core/skbuff.c). Native mode has no such copy. It is loaded, once, on the maps of the others.
func (d *Dataplane) genericXDP() (*ebpf.Program, error) {
	if d.genericProg != nil {
		return d.genericProg, nil
	}
	if !severalBuffers(d.opts) { // then the one that is there is for frames in one piece
		return d.objs.VipdXdp, nil
	}
	s, err := spec(d.opts)
	if err != nil {
		return nil, err
	}
	dropFrags(s)
	shared, err := d.shared(s)
	if err != nil {
		return nil, fmt.Errorf("load the xdp program for generic mode: %w", err)
	}
	var objs struct {
		VipdXdp *ebpf.Program `ebpf:"vipd_xdp"`
	}
	if err := d.loadInto(&objs, s, shared); err != nil {
		return nil, fmt.Errorf("load the xdp program for generic mode: %w", err)
	}
	d.genericProg = objs.VipdXdp
	return d.genericProg, nil
}

// xdpProgram is the one for a mode.
func (d *Dataplane) xdpProgram(mode Mode) (*ebpf.Program, error) {
	if mode == ModeNative {
		return d.objs.VipdXdp, nil
	}
	return d.genericXDP()
}
