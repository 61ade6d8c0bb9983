// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
)

const (
	// A page is reused for restFactor times as long as it took to make, at most for maxAge. A page that would be
	// reused for less than minAge is made for each scrape.
	restFactor = 10
	minAge     = 20 * time.Millisecond
	maxAge     = time.Second
)

// made is the last page of metrics. It is not reused after a change was published.
type made struct {
	changes atomic.Uint64

	mu     sync.Mutex
	plain  []byte
	packed []byte // nil until a client asks for it
	of     uint64 // value of changes when the page was made
	until  time.Time
}

// page returns the last page, or a new one.
func (p *made) page(packed bool, render func() ([]byte, error), pack func([]byte) ([]byte, error)) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changes, began := p.changes.Load(), moment()
	if p.plain == nil || p.of != changes || !began.Before(p.until) {
		plain, err := render()
		if err != nil {
			p.plain = nil
			return nil, err
		}
		p.plain, p.packed, p.of, p.until = plain, nil, changes, began
		p.rest(began)
	}
	if !packed {
		return p.plain, nil
	}
	if p.packed == nil {
		began := moment()
		data, err := pack(p.plain)
		if err != nil {
			return nil, err
		}
		p.packed = data
		p.rest(began)
	}
	return p.packed, nil
}

// rest extends the time of reuse by the cost of the work that began at the given time.
func (p *made) rest(began time.Time) {
	now := moment()
	if age := restFactor * now.Sub(began); age >= minAge {
		p.until = now.Add(min(age, maxAge))
	}
}

// moment is used for its monotonic part only.
func moment() time.Time { return time.Now() }

// Outdate makes the next scrape show what was published before the call.
func (m *Metrics) Outdate() { m.made.changes.Add(1) }

// render makes a page. Everything that can fail does so before the first byte: in a page that lacks groups, all
// would seem well.
func (m *Metrics) render() ([]byte, error) {
	snap := m.src.Snapshot()
	registered, err := m.registry.Gather()
	if snap.Err != nil {
		err = snap.Err
	}
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(int(m.size.Load()))
	if err := m.write(&out, newView(&snap), registered); err != nil {
		return nil, err
	}
	m.size.Store(int64(out.Len() + out.Len()/8))
	return out.Bytes(), nil
}

// pack compresses a page.
func (m *Metrics) pack(page []byte) ([]byte, error) {
	var out bytes.Buffer
	gz := m.encoders.Get().(*gzip.Writer) // always, as encoders has a New
	defer m.encoders.Put(gz)
	gz.Reset(&out)
	if _, err := gz.Write(page); err != nil {
		return nil, err
	}
	if err := gz.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
