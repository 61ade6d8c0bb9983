// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	afBridge     = unix.AF_BRIDGE
	ifaFlagNoDAD = unix.IFA_F_NODAD
	toolTimeout  = 10 * time.Second
)
