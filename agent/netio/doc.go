// SPDX-License-Identifier: Apache-2.0

// Package netio is the agent's hands on the host: it reads links and
// addresses, adds and removes virtual IPs, puts virtual MACs into a NIC's
// filter, joins the CARP groups, sends raw frames and reads the clock that the
// data plane uses too.
//
// Everything acts in the network namespace of the thread that opened it and
// nothing in here takes a decision: what to do is the election's business.
package netio
