// SPDX-License-Identifier: Apache-2.0

// Package state keeps what outlives the process: the lock that admits one vipd per runtime
// directory, the operator's switches and the history of transitions. Its subpackages keep
// what held the node back (keep) and the numbers of adverts (sequence);
// all of them write their files through durable.
package state
