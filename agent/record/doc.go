// SPDX-License-Identifier: Apache-2.0

// Package record is the flight recorder. It keeps the last adverts, ARP and ND exchanges and
// rejects of each group in bounded memory, saves them as an incident when the group changes its
// state, and streams live captures.
//
// The election loop only puts notes into an inbox ([Recorder.Transition], [Recorder.Heard]); the
// goroutine of [Recorder.Run] drains the tap of the data plane and does all the work. Frames do
// not wake it.
package record
