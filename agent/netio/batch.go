// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Frame is one frame of a batch.
type Frame struct {
	IfIndex int
	Data    []byte // a complete Ethernet frame
	Err     error  // set by SendAll: why the kernel did not take it
}

// batch is what sendmmsg(2) reads. It is kept, so that sending allocates nothing. golang.org/x/net has the call for
// sockets of IP only, golang.org/x/sys its structs.
type batch struct {
	msgs []unix.Mmsghdr
	iovs []unix.Iovec
	to   []unix.RawSockaddrLinklayer
}

// SendAll passes frames to the kernel, in order and by as few system calls as possible, and notes in each what became
// of it. A refusal by the egress fence is an error (ENOBUFS), like a full queue.
func (s *Sender) SendAll(frames []Frame) {
	b := &s.batch
	b.fill(frames)
	for next := 0; next < len(frames); {
		// The kernel stops at a frame that it refuses, and returns the reason only if that is the first one. Such a frame
		// is offered again as the first one of the next call.
		n, err := sendMMsg(s.raw, b.msgs[next:len(frames)])
		next += n
		if err != nil {
			frames[next].Err = sendError(frames[next].IfIndex, err)
			next++
		}
	}
	clear(b.iovs[:len(frames)]) // the frames are the caller's
}

// fill describes the frames to the kernel.
func (b *batch) fill(frames []Frame) {
	if n := len(frames); n > len(b.msgs) {
		b.msgs, b.iovs, b.to = make([]unix.Mmsghdr, n), make([]unix.Iovec, n), make([]unix.RawSockaddrLinklayer, n)
	}
	for i := range frames {
		f := &frames[i]
		f.Err = nil
		b.to[i] = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Ifindex: int32(f.IfIndex)}
		b.iovs[i] = unix.Iovec{Base: unsafe.SliceData(f.Data)}
		b.iovs[i].SetLen(len(f.Data))
		h := &b.msgs[i].Hdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&b.to[i])), unix.SizeofSockaddrLinklayer
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
	}
}

// fewFrames is how many frames are sent without the knowledge of the Go runtime (see readBoot), which waits for the
// call before it collects garbage: some 50 us per frame on a veth, where the call includes the way to the receiver.
const fewFrames = 8

// sendMMsg returns how many messages the kernel took, or the error of the first one. The socket does not block.
func sendMMsg(fd int, msgs []unix.Mmsghdr) (int, error) {
	call := unix.RawSyscall6
	if len(msgs) > fewFrames {
		call = unix.Syscall6
	}
	for {
		n, _, errno := call(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(msgs))),
			uintptr(len(msgs)), 0, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return 0, errno
		default:
			return int(n), nil
		}
	}
}
