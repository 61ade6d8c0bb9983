// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Placing is a virtual address, or a virtual MAC, that is to be on an interface.
type Placing struct {
	IfIndex int
	// Addr becomes a /32 or /128, so that it does not replace addresses of the host, with scope host, so that the kernel
	// does not use it as a source address by default. It expires after VIPLife. Old tools (SIOCGIFADDR, ifconfig) show
	// Label, see [Label].
	Addr  netip.Addr
	Label string
	// Add means that vipd has not added Addr yet: if the address is there and not vipd's, nothing changes and Err is
	// [ErrForeign]. Otherwise it is renewed.
	Add bool
	// MAC, if there is no Addr, is added to the interface's receive filter, as `bridge fdb add ADDRESS dev IF self` does.
	// Without it, a NIC that is not promiscuous drops frames to a virtual MAC before XDP sees them. It is not an error if
	// it is there already.
	MAC [6]byte
	Err error // set by Place: why the kernel refused it
}

// Place puts addresses on interfaces, in order and by as few system calls as possible, and notes in each what became of
// it. The kernel takes about as long for each of them as for one alone.
func (h *Host) Place(what []Placing) {
	for part := range slices.Chunk(what, batchMost) {
		requests := make([]*nl.NetlinkRequest, 0, len(part))
		for i := range part {
			requests = append(requests, part[i].request(part[i].Add))
		}
		answers, err := h.batch.send(requests)
		for i := range part {
			if err != nil {
				part[i].Err = part[i].failed(err)
			} else {
				part[i].Err = h.placed(&part[i], answers[i])
			}
		}
	}
}

// placed returns what the kernel's answer means.
func (h *Host) placed(p *Placing, answer error) error {
	exists := errors.Is(answer, unix.EEXIST)
	switch {
	case answer == nil:
		return nil
	case !p.Addr.IsValid() && (exists || h.needsNone(p.IfIndex, answer)):
		return nil
	case p.Addr.IsValid() && p.Add && exists:
		if err := h.isOurs(p.IfIndex, p.Addr); err != nil {
			return p.failed(err)
		}
		answers, err := h.batch.send([]*nl.NetlinkRequest{p.request(false)})
		if err = errors.Join(append(answers, err)...); err != nil {
			return p.failed(err)
		}
		return nil
	default:
		return p.failed(answer)
	}
}

func (p *Placing) failed(err error) error {
	if !p.Addr.IsValid() {
		return fmt.Errorf("add %x to the receive filter of interface %d: %w", p.MAC, p.IfIndex, err)
	}
	return fmt.Errorf("add %s to interface %d: %w", p.Addr, p.IfIndex, err)
}

// request is what the netlink library makes for AddrAdd, AddrReplace and NeighAppend, which take one each.
func (p *Placing) request(add bool) *nl.NetlinkRequest {
	if !p.Addr.IsValid() {
		return &nl.NetlinkRequest{
			NlMsghdr: unix.NlMsghdr{Type: unix.RTM_NEWNEIGH, Flags: unix.NLM_F_CREATE | unix.NLM_F_APPEND},
			Data: []nl.NetlinkRequestData{
				&netlink.Ndmsg{
					Family: unix.AF_BRIDGE, Index: uint32(p.IfIndex), State: netlink.NUD_PERMANENT, Flags: netlink.NTF_SELF,
				},
				nl.NewRtAttr(unix.NDA_LLADDR, p.MAC[:]),
			},
		}
	}
	const life = uint32(VIPLife / time.Second)
	lifetime := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Valid: life}}
	msg := nl.NewIfAddrmsg(unix.AF_INET6)
	var own *nl.RtAttr
	if p.Addr.Is4() {
		msg.Family, msg.Scope = unix.AF_INET, unix.RT_SCOPE_HOST
		lifetime.Prefered = life //nolint:misspell // the kernel's name
		own = nl.NewRtAttr(unix.IFA_LABEL, nl.ZeroTerminated(p.Label))
	} else {
		// Deprecated from the start: usable, but not chosen as a source. No DAD: the other node has the same address.
		own = nl.NewRtAttr(unix.IFA_FLAGS, binary.NativeEndian.AppendUint32(nil, unix.IFA_F_NODAD|unix.IFA_F_NOPREFIXROUTE))
	}
	msg.Index, msg.Prefixlen = uint32(p.IfIndex), uint8(p.Addr.BitLen())
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_REPLACE)
	if add {
		flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	return &nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{Type: unix.RTM_NEWADDR, Flags: flags},
		Data: []nl.NetlinkRequestData{
			msg,
			nl.NewRtAttr(unix.IFA_LOCAL, p.Addr.AsSlice()),
			nl.NewRtAttr(unix.IFA_ADDRESS, p.Addr.AsSlice()),
			own,
			nl.NewRtAttr(unix.IFA_CACHEINFO, lifetime.Serialize()),
		},
	}
}
