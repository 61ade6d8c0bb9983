// SPDX-License-Identifier: Apache-2.0

package ordinary

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// The garbage collector waits for other threads in loops: until a goroutine has stopped for it (runtime.suspendG), and
// until another thread has swept a part of the memory that it is at (bgsweep, mspan.ensureSwept). Whoever allocates
// memory does some of its work. If no processor is left for the other thread, the loop lasts until the kernel throttles
// real-time threads, after 950 ms, if that thread has ordinary priority, and for a time slice of 100 ms, if not; the
// election loop waits for it or is in it.
//
// So Go code runs on as many threads at once as there are processors (GOMAXPROCS). While an ordinary thread runs, there
// may be one more, since that is not always given a processor, and no garbage is collected or swept.

// garbage is that of the process. Only the holder of apart may use it.
var garbage = newCollection()

type collection struct {
	samples []metrics.Sample
	percent int    // GOGC
	swept   uint64 // the last cycle that is known to have ended, with all memory swept
}

// Samples of a collection.
const (
	sampleCycles = iota
	sampleGoal
	sampleUsed
)

func newCollection() *collection {
	return &collection{samples: []metrics.Sample{
		sampleCycles: {Name: "/gc/cycles/total:gc-cycles"},
		sampleGoal:   {Name: "/gc/heap/goal:bytes"},
		sampleUsed:   {Name: "/memory/classes/heap/objects:bytes"},
	}}
}

// keep returns when nothing is being collected or swept, and makes room for another thread. Garbage is kept until
// collect.
func (c *collection) keep() {
	c.percent = debug.SetGCPercent(-1) // which waits for the end of marking
	if c.read(sampleCycles) != c.swept {
		c.now()
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
}

// collect has garbage collected again, and does it if it is nearly due: then it need not be done before the next work.
func (c *collection) collect() {
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - 1)
	debug.SetGCPercent(c.percent)
	metrics.Read(c.samples)
	if used, goal := c.samples[sampleUsed].Value.Uint64(), c.samples[sampleGoal].Value.Uint64(); used > goal/4*3 {
		c.now()
	}
}

// now collects all garbage and sweeps the memory.
func (c *collection) now() {
	runtime.GC()
	c.swept = c.read(sampleCycles)
}

func (c *collection) read(sample int) uint64 {
	metrics.Read(c.samples[sample : sample+1])
	return c.samples[sample].Value.Uint64()
}
