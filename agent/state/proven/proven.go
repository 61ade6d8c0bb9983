// SPDX-License-Identifier: Apache-2.0

// Package proven stores which addresses have proven by a trailer to be those of vipd nodes (docs/authentication.md),
// for the next start. The data plane remembers them while it is there; the file does over a stop and a reboot.
//
// A goroutine writes the file, with fsync: soon after a new peer has proven itself, every ten minutes, and at the end.
// The loop never waits for it.
package proven

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"vipd/agent/state/durable"
)

const (
	// period is how often the numbers in the file are renewed.
	period = 10 * time.Minute
	// calm is the least time between two writes: at a start, the peers of a thousand groups prove themselves within a
	// second.
	calm = 5 * time.Second
	// retry is the delay of a write after one that failed, unless a new peer comes before.
	retry = time.Minute
	// renewal is how often a file is written in which nothing is new: for how long all are silent is new.
	renewal = time.Hour
	// expireAtOnce bounds the peers that the data plane forgets in one turn of the loop, and patience the wait for it.
	expireAtOnce = 64
	patience     = 10 * time.Second

	version = 1
	// maxFile is more than the peers that the data plane has room for take, in bytes.
	maxFile = 64 << 20
	// highest is more than any number of a node (agent/state/sequence).
	highest = 1 << 63
)

// Peer is an address that has proven itself in a group.
type Peer struct {
	Interface string     `json:"interface"`
	VHID      uint8      `json:"vhid"`
	Address   netip.Addr `json:"address"`
	// Number is that of its last advert or hello.
	Number uint64 `json:"number"`
	// At is when that was heard, CLOCK_BOOTTIME ns. It is below 0 if that was before this boot: the time for which this
	// host was off since then does not count. The time of day is not asked, since it may be set.
	At int64 `json:"at"`
}

// content is the file.
type content struct {
	Version int    `json:"version"`
	Boot    string `json:"boot"`    // the kernel's boot_id
	Written int64  `json:"written"` // CLOCK_BOOTTIME then, ns
	Peers   []Peer `json:"peers"`
}

// Options are what a Store works with.
type Options struct {
	Path string
	// Boot identifies this boot; empty if that is unknown.
	Boot string
	Log  *slog.Logger
	// Now reads CLOCK_BOOTTIME, in nanoseconds.
	Now func() int64
	// Memory is for how long a silent peer is remembered; 0: for ever.
	Memory func() time.Duration
	// Read returns what the data plane knows. It is called outside the loop.
	Read func() ([]Peer, error)
	// Expire has the data plane forget those of these peers that it has not heard since.
	Expire func(ctx context.Context, silent []Peer) error
	// Write is durable.Write if it is nil.
	Write func(path string, data []byte) error
}

// group is a VHID on an interface.
type group struct {
	ifname string
	vhid   uint8
}

// Store has the peers. A nil Store has none.
type Store struct {
	o    Options
	wake chan struct{}
	end  chan struct{}

	writing chan struct{} // holds a token during a write, which may never end
	written *content      // the last one; who has the token owns this
	failed  bool          // and this

	busy  sync.Mutex       // held while the data plane is read, or forgets; never by the loop
	mu    sync.Mutex       // guards what follows
	peers map[group][]Peer // few in each
}

// Open reads the file. A damaged one is logged and renamed to path.damaged.
func Open(o Options) *Store {
	if o.Write == nil {
		o.Write = durable.Write
	}
	s := &Store{
		o: o, wake: make(chan struct{}, 1), end: make(chan struct{}),
		writing: make(chan struct{}, 1),
		peers:   map[group][]Peer{},
	}
	c, err := load(o.Path)
	if err != nil {
		aside, err := durable.SetAside(o.Path, err)
		o.Log.Error("the vipd nodes heard before this start are not known: the file is damaged and was set aside; until "+
			"each has been heard again, its adverts are believed without a trailer",
			"file", o.Path, "now", aside, "err", err)
		return s
	}
	for _, p := range c.Peers {
		if c.Boot != o.Boot || o.Boot == "" {
			p.At = min(p.At-c.Written, 0)
		}
		s.put(p)
	}
	return s
}

func load(path string) (c content, err error) {
	data, err := durable.Read(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return content{}, fmt.Errorf("decode: %w", err)
	}
	if c.Version != version {
		return content{}, fmt.Errorf("version %d; this vipd reads %d", c.Version, version)
	}
	for _, p := range c.Peers {
		if p.Interface == "" || p.VHID == 0 || !p.Address.IsValid() || p.Number >= highest {
			return content{}, fmt.Errorf("peer %s of %.20q@%d is not valid", p.Address, p.Interface, p.VHID)
		}
	}
	return c, nil
}

// put notes a peer unless a later advert of it is known. The caller holds mu, or is the only one yet.
func (s *Store) put(p Peer) {
	if p.Number >= highest {
		return // or the file would not be read
	}
	g := group{p.Interface, p.VHID}
	of := s.peers[g]
	i := slices.IndexFunc(of, func(q Peer) bool { return q.Address == p.Address })
	switch {
	case i < 0:
		s.peers[g] = append(of, p)
	case of[i].Number < p.Number:
		of[i] = p
	}
}

func (s *Store) expired(p Peer) bool {
	memory := s.o.Memory()
	return memory > 0 && s.o.Now()-p.At >= int64(memory)
}

// Of returns the peers of a group. It does not wait for a disk.
func (s *Store) Of(ifname string, vhid uint8) []Peer {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Peer
	for _, p := range s.peers[group{ifname, vhid}] {
		if !s.expired(p) {
			out = append(out, p)
		}
	}
	return out
}

// All returns all peers in order, after a look at the data plane.
func (s *Store) All() []Peer {
	s.Refresh()
	return s.all()
}

// Met schedules a write: a new peer has proven itself.
func (s *Store) Met() {
	if s == nil {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Start begins to write the file.
func (s *Store) Start() {
	go func() {
		for {
			next := period
			s.Refresh()
			s.expire()
			if s.save(context.Background()) != nil {
				next = retry
			}
			if !s.sleep(calm, nil) || !s.sleep(next-calm, s.wake) {
				return
			}
		}
	}()
}

// sleep returns false at the end of the Store.
func (s *Store) sleep(d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-s.end:
		return false
	}
	return true
}

// Refresh notes what the data plane knows.
func (s *Store) Refresh() {
	s.busy.Lock()
	defer s.busy.Unlock()
	heard, err := s.o.Read()
	if err != nil {
		s.o.Log.Warn("cannot read the peers from the data plane; the file has what was known before", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range heard {
		s.put(p)
	}
}

// expire forgets the peers that were silent for too long, here and in the data plane, which would run out of room.
func (s *Store) expire() {
	var gone []Peer
	s.mu.Lock()
	for g, of := range s.peers {
		s.peers[g] = slices.DeleteFunc(of, func(p Peer) bool {
			if !s.expired(p) {
				return false
			}
			gone = append(gone, p)
			return true
		})
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for batch := range slices.Chunk(gone, expireAtOnce) {
		if err := s.o.Expire(ctx, batch); err != nil {
			s.o.Log.Warn("the data plane still remembers vipd nodes that were not heard for peer_memory", "err", err)
			return
		}
	}
}

// all returns the peers in order.
func (s *Store) all() []Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Peer{}
	for _, of := range s.peers {
		out = append(out, of...)
	}
	slices.SortFunc(out, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.VHID, b.VHID), a.Address.Compare(b.Address))
	})
	return out
}

// save writes the file, if it has changed. A disk that does not answer is waited for until ctx ends.
func (s *Store) save(ctx context.Context) error {
	silent := func() error { return fmt.Errorf("write %s: the disk does not answer: %w", s.o.Path, ctx.Err()) }
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return silent()
	}
	done := make(chan error, 1)
	go func() {
		err := s.write()
		<-s.writing
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return silent()
	}
}

func (s *Store) write() error {
	peers := s.all()
	if len(peers) == 0 && s.written == nil {
		if _, err := os.Lstat(s.o.Path); errors.Is(err, fs.ErrNotExist) {
			return nil // no vipd node was ever heard
		}
	}
	c := content{Version: version, Boot: s.o.Boot, Written: s.o.Now(), Peers: peers}
	if w := s.written; w != nil && slices.Equal(w.Peers, peers) && c.Written-w.Written < int64(renewal) {
		return nil
	}
	data, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		return fmt.Errorf("encode %s: %w", s.o.Path, err)
	}
	err = s.o.Write(s.o.Path, append(data, '\n'))
	switch {
	case err == nil:
		s.written = &c
		if s.failed {
			s.o.Log.Info("the vipd nodes that were heard are stored again", "file", s.o.Path)
		}
	case !s.failed:
		s.o.Log.Error("cannot store which vipd nodes were heard; after a stop or a reboot their adverts are believed "+
			"without a trailer until each has been heard again. Is state_dir writable?", "err", err)
	}
	s.failed = err != nil
	return err
}

// Forget removes peers, and has the data plane forget them first, by drop, whose error is returned as it is. If the
// file cannot be written before ctx ends, unsaved says why: the next start knows the peers again.
func (s *Store) Forget(ctx context.Context, peers []Peer, drop func() error) (unsaved, err error) {
	if err := s.drop(peers, drop); err != nil {
		return nil, err
	}
	return s.save(ctx), nil
}

func (s *Store) drop(peers []Peer, drop func() error) error {
	s.busy.Lock() // a reading of the data plane from before would bring them back
	defer s.busy.Unlock()
	if err := drop(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range peers {
		g := group{p.Interface, p.VHID}
		s.peers[g] = slices.DeleteFunc(s.peers[g], func(q Peer) bool { return q.Address == p.Address })
	}
	return nil
}

// Leave ends the writing at once: the data plane stays, and the next process goes on from there.
func (s *Store) Leave() { close(s.end) }

// Close writes what the last Refresh found, within limit.
func (s *Store) Close(limit time.Duration) {
	close(s.end)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := s.save(ctx); ctx.Err() != nil {
		s.o.Log.Warn("which vipd nodes were heard is not stored", "err", err)
	}
}
