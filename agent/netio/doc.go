// SPDX-License-Identifier: Apache-2.0

// Package netio is the agent's access to the host: it reads links and addresses, adds and removes
// virtual IPs, puts virtual MACs into a NIC's filter, joins the CARP multicast groups, sends raw frames
// and reads the clock that the data plane also uses.
//
// Everything acts in the network namespace of the thread that opened it. Nothing here takes a decision;
// that is the task of the election.
package netio
