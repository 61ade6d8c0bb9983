// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"math/bits"
	"time"
)

// stream is a random number generator for one concern: PCG-DXSM (O'Neill 2014), implemented here so that a seed gives
// the same run with every version of Go.
type stream struct{ hi, lo uint64 }

// newStream derives a stream from a seed and the name of its concern.
func newStream(seed uint64, label string) *stream {
	hash := uint64(14695981039346656037) // FNV-1a
	for i := range len(label) {
		hash = (hash ^ uint64(label[i])) * 1099511628211
	}
	return &stream{hi: mix(seed), lo: mix(hash ^ mix(seed+1))}
}

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (s *stream) uint64() uint64 {
	const mulHi, mulLo, incHi, incLo = 2549297995355413924, 4865540595714422341, 6364136223846793005, 1442695040888963407
	hi, lo := bits.Mul64(s.lo, mulLo)
	hi += s.hi*mulLo + s.lo*mulHi
	var carry uint64
	s.lo, carry = bits.Add64(lo, incLo, 0)
	s.hi, _ = bits.Add64(hi, incHi, carry)
	const cheap = 0xda942042e4dd58b5
	x := s.hi
	x ^= x >> 32
	x *= cheap
	x ^= x >> 48
	return x * (s.lo | 1)
}

// below returns a number uniform in 0..n-1 (with a bias of n/2^64), and 0 for n < 1.
func (s *stream) below(n int) int {
	x := s.uint64()
	if n < 1 {
		return 0
	}
	hi, _ := bits.Mul64(x, uint64(n))
	return int(hi)
}

// chance returns true with a probability of part in 1000.
func (s *stream) chance(part int) bool { return s.below(1000) < part }

// between returns a duration uniform in from..to.
func (s *stream) between(from, to time.Duration) time.Duration {
	return from + time.Duration(s.below(int(to-from)+1))
}

// oneOf returns a random element.
func oneOf[T any](s *stream, of ...T) T { return of[s.below(len(of))] }
