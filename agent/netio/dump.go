// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// request asks the kernel and passes each answer to read, on the socket of the host. The netlink package has no
// requests for single neighbours, and leaves out of its answers what the agent needs of a link.
func (h *Host) request(kind, flags, answer uint16, read func(m []byte), data ...nl.NetlinkRequestData) error {
	return requestOn(h.own, kind, flags, answer, read, data...)
}

func requestOn(
	sockets map[int]*nl.SocketHandle, kind, flags, answer uint16, read func(m []byte), data ...nl.NetlinkRequestData,
) error {
	req := &nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{Len: unix.SizeofNlMsghdr, Type: kind, Flags: unix.NLM_F_REQUEST | flags},
		Data:     data,
		Sockets:  sockets,
	}
	return req.ExecuteIter(unix.NETLINK_ROUTE, answer, func(m []byte) bool {
		read(m)
		return true
	})
}

// maxDumps limits the attempts to read a list that changes of the host interrupt.
const maxDumps = 5

// dump is request for a whole list. begin is called before each attempt: an interrupted list may be incomplete.
func (h *Host) dump(kind, answer uint16, begin func(), read func(m []byte), data ...nl.NetlinkRequestData) error {
	return dumpOn(h.own, kind, answer, begin, read, data...)
}

func dumpOn(
	sockets map[int]*nl.SocketHandle, kind, answer uint16, begin func(), read func(m []byte),
	data ...nl.NetlinkRequestData,
) error {
	var err error
	for range maxDumps {
		begin()
		err = requestOn(sockets, kind, unix.NLM_F_DUMP, answer, read, data...)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return err
		}
	}
	return err
}

// openOwn opens the socket of request.
func openOwn() (map[int]*nl.SocketHandle, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}, nil
}

// attributes are the attributes of a netlink message, by their types without flags. A malformed rest is left out.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		const header = unix.SizeofRtAttr
		for len(b) >= header {
			size := int(binary.NativeEndian.Uint16(b))
			if size < header || size > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(kind, b[header:size]) {
				return
			}
			b = b[min((size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(b)):]
		}
	}
}
