// SPDX-License-Identifier: Apache-2.0

package view

import (
	"vipd/agent/config"
	"vipd/agent/control/api"
)

// NoRoom answers a reload, or the plan of one, that needs more than the tables of the data plane hold.
func NoRoom(source string, need, room config.Size) error {
	return api.Errorf(
		api.CodeNoRoom,
		"a reload to %s needs room for %d groups and %d addresses at once, and the tables that this vipd made at its "+
			"start hold %d and %d; the running config stays. Remove groups in a reload of their own, or run "+
			"`vipctl restart --hand-over`: a start makes tables for the new config, and the addresses of this node are on "+
			"another one meanwhile",
		source, need.Groups, need.Addresses, room.Groups, room.Addresses,
	)
}
