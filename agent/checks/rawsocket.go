// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// openRaw opens a socket whose reads and writes end with the context. The returned
// function closes it.
func openRaw(ctx context.Context, family, kind, protocol int) (*os.File, func(), error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil, nil, fmt.Errorf("open raw socket: %w: run vipd as root or give it CAP_NET_RAW", err)
		}
		return nil, nil, fmt.Errorf("open raw socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "raw socket")
	stop := context.AfterFunc(ctx, func() {
		_ = f.SetDeadline(time.Unix(1, 0)) // fails only if the file is closed already
	})
	return f, func() {
		stop()
		f.Close()
	}, nil
}

// onSocket runs a system call on the file's descriptor.
func onSocket(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// exchange writes the question and reads until an answer is right. A deadline says
// that there was none.
func exchange(f *os.File, question []byte, right func(answer []byte) bool) error {
	if _, err := f.Write(question); err != nil {
		return bare(err)
	}
	var buf [2048]byte
	for {
		n, err := f.Read(buf[:])
		if err != nil {
			return bare(err)
		}
		if right(buf[:n]) {
			return nil
		}
	}
}
