// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// batchMost is how many requests one sendmsg has. The acknowledgements of all of them fit into the receive buffer.
	batchMost = 128
	// batchTimeout bounds the wait for an acknowledgement. The kernel handles the requests before sendmsg returns.
	batchTimeout = time.Second
)

// batchSocket is a netlink socket for many requests at once.
type batchSocket struct {
	fd     int
	seq    uint32
	buffer []byte
}

func openBatchSocket() (*batchSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	timeout := unix.NsecToTimeval(int64(batchTimeout))
	err = errors.Join(
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1), // without the request
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up netlink socket: %w", err), unix.Close(fd))
	}
	return &batchSocket{fd: fd, buffer: make([]byte, 1<<16)}, nil
}

func (s *batchSocket) close() error { return unix.Close(s.fd) }

// send makes up to batchMost requests and returns the kernel's answer to each.
func (s *batchSocket) send(requests []*nl.NetlinkRequest) ([]error, error) {
	var out []byte
	first := s.seq + 1
	for _, r := range requests {
		s.seq++
		r.Seq = s.seq
		r.Flags |= unix.NLM_F_REQUEST | unix.NLM_F_ACK
		out = append(out, r.Serialize()...) // its attributes are aligned
	}
	if err := unix.Sendto(s.fd, out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	answers := make([]error, len(requests))
	for left := len(requests); left > 0; {
		n, _, err := unix.Recvfrom(s.fd, s.buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the answers of netlink: %w", err)
		}
		for b := s.buffer[:n]; len(b) >= unix.SizeofNlMsghdr; {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr+4 || size > len(b) {
				break
			}
			at := binary.NativeEndian.Uint32(b[8:]) - first
			if binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR && at < uint32(len(answers)) {
				if code := int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:])); code < 0 {
					answers[at] = unix.Errno(-code)
				}
				left--
			}
			b = b[min((size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(b)):]
		}
	}
	return answers, nil
}
