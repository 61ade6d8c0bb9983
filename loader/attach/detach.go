// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"time"

	"github.com/cilium/ebpf/link"
)

// Detaching a tcx link waits for an RCU grace period, about 15 ms, under the lock of all network configuration: seconds
// for hundreds of interfaces, during which neither a stop ends nor an election proceeds. So vipd waits only for the
// first links of a series. The others lose their last reference when everything else is done, and the kernel detaches
// them one after the other; by then no address is fenced and no group answers.

const (
	// detachBudget is how long a series waits for links.
	detachBudget = 300 * time.Millisecond
	// detachPause ends a series.
	detachPause = 5 * time.Second
)

// series adds up how long detaching took. Hooks.mu guards it.
type series struct {
	last  time.Duration // since boot
	spent time.Duration
	later []link.Link
}

// dropTCX detaches a tcx link: at once, or later if there are many.
func (s *series) dropTCX(l link.Link) error {
	if l == nil {
		return nil
	}
	began := sinceBoot()
	if began-s.last > detachPause {
		s.spent = 0
	}
	defer func() {
		s.last = sinceBoot()
		s.spent += s.last - began
	}()
	if s.spent < detachBudget {
		return dropLink(l)
	}
	s.later = append(s.later, l)
	return nil
}

// end releases the links that dropTCX did not wait for.
func (s *series) end() error {
	var errs []error
	for _, l := range s.later {
		// In this order: closing the last reference would wait, but removing the last pin does not.
		errs = append(errs, l.Close(), l.Unpin())
	}
	s.later = nil
	return errors.Join(errs...)
}
