// SPDX-License-Identifier: Apache-2.0

package web

import "time"

// moment is the time of day for people, and with Go's monotonic part for the page's own
// limits and pauses. Nothing of the election is decided by it.
func moment() time.Time { return time.Now() }
