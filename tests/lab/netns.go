// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netns"
)

// newNamespace makes a named network namespace, as `ip netns add` does, without staying in it.
func newNamespace(name string) (netns.NsHandle, error) {
	handle := netns.None()
	err := onThread(func(home netns.NsHandle) error {
		h, err := netns.NewNamed(name)
		if err != nil {
			return fmt.Errorf("make namespace %s: %w", name, err)
		}
		handle = h
		return netns.Set(home)
	})
	return handle, err
}

// within runs f on a thread that is in the namespace; sockets and processes made by f on that thread belong to it.
// (`ip netns exec` would mount a fresh /sys and hide bpffs.)
func within(ns netns.NsHandle, f func() error) error {
	return onThread(func(netns.NsHandle) error {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter namespace: %w", err)
		}
		return f()
	})
}

// onThread runs f locked to a thread and brings that thread home again. When it cannot be brought home it stays
// locked, so that the runtime ends it and no other goroutine runs in the wrong network.
func onThread(f func(home netns.NsHandle) error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			result <- fmt.Errorf("open own namespace: %w", err)
			return
		}
		defer home.Close()
		err = f(home)
		if back := netns.Set(home); back != nil {
			result <- errors.Join(err, fmt.Errorf("go back to own namespace: %w", back))
			return
		}
		runtime.UnlockOSThread()
		result <- err
	}()
	return <-result
}

// NetNSAllowed reports whether this process may make namespaces; nil means it may.
func NetNSAllowed() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root for network namespaces")
	}
	return onThread(func(netns.NsHandle) error {
		h, err := netns.New()
		if err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		return h.Close()
	})
}
