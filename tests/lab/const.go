// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	afBridge     = unix.AF_BRIDGE
	ifaFlagNoDAD = unix.IFA_F_NODAD
)

// ToolTimeout is how long a program that ends by itself may run on a busy machine. Programs like ip wait for the
// kernel, which may be removing the many interfaces of another test.
const ToolTimeout = time.Minute
