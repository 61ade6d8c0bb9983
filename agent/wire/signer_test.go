// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestSigner compares digests from a prepared state with those of the whole message, for prefixes of any length.
func TestSigner(t *testing.T) {
	t.Parallel()
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, seed))
	for n := range 300 {
		key, err := NewKey(bytes.Repeat([]byte{byte(n)}, n%(MaxKey+1)))
		if err != nil {
			t.Fatal(err)
		}
		prefix := make([]byte, n)
		for i := range prefix {
			prefix[i] = byte(rng.Uint32())
		}
		s := key.Signer(prefix)
		for range 3 {
			counter := rng.Uint64()
			if got, want := s.Digest(counter), key.Digest(prefix, counter); got != want {
				t.Fatalf("prefix of %d bytes, counter %#x: digest %x, want %x", n, counter, got, want)
			}
		}
	}
}

func TestSignerAllocatesNothing(t *testing.T) {
	s := Key{}.Signer(make([]byte, 23))
	if n := testing.AllocsPerRun(100, func() { s.Digest(1) }); n > 0 {
		t.Errorf("%v allocations per digest", n)
	}
}

// BenchmarkDigest compares the digest of a whole message with the one from a prepared state.
func BenchmarkDigest(b *testing.B) {
	var k Key
	prefix := make([]byte, 3+5*4) // five IPv4 addresses
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			k.Digest(prefix, 1)
		}
	})
	b.Run("prepared", func(b *testing.B) {
		s := k.Signer(prefix)
		for b.Loop() {
			s.Digest(1)
		}
	})
}
