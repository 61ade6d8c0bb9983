// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/json"
	"testing"

	"vipd/loader"
)

// BenchmarkRecord is what one captured frame costs before it is sent.
func BenchmarkRecord(b *testing.B) {
	e := entry{Kind: loader.SampleRejected, Reason: "bad_hmac", Lag: noLag, Data: advertFrame(7), Length: 70}
	b.ReportAllocs()
	for b.Loop() {
		rec := e.record("eth0@1", "eth0", 0)
		if _, err := json.Marshal(&rec); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecode is the part of it that reads the frame.
func BenchmarkDecode(b *testing.B) {
	data := advertFrame(7)
	b.ReportAllocs()
	for b.Loop() {
		decode(data)
	}
}
