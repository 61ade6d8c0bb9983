// SPDX-License-Identifier: Apache-2.0

// Package record is the flight recorder: the last adverts, ARP and ND exchanges and
// rejects of each group in bounded memory, frozen into an incident when the group
// changes its state, and live captures.
//
// The election loop only leaves notes in an inbox ([Recorder.Transition],
// [Recorder.Heard]); a goroutine of the recorder's own ([Recorder.Run]) drains the tap
// of the data plane and does all the work. No frame ever wakes it.
package record
