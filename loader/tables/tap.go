// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"vipd/loader/object"
)

// SampleKind is what happened to a sampled frame.
type SampleKind uint8

// Kinds, by enum tap_what of bpf/vipd_types.h.
const (
	SampleAuthentic       SampleKind = iota // an advert that counted
	SampleRejected                          // an advert; Reason says why
	SampleDropped                           // Reason says why
	SampleForeignVRRP                       // a VRRP advert on the group's VHID
	SampleAdvertSent                        // an advert of ours that may leave
	SampleARPRequest                        // asked for a VIP, and answered
	SampleARPReply                          // the answer
	SampleARPGratuitous                     // a host announces the VIP
	SampleARPSent                           // from a VIP, by this host's stack or agent
	SampleNDSolicitation                    // asked for a VIP, and answered
	SampleNDAdvertisement                   // the answer
	SampleNDSent                            // from a VIP, by this host's stack or agent
	SampleClaim                             // ARP or ND that gives a VIP to another MAC
)

var sampleNames = [...]string{
	"authentic", "rejected", "dropped", "foreign_vrrp", "advert_sent", "arp_request", "arp_reply",
	"arp_gratuitous", "arp_sent", "nd_solicitation", "nd_advertisement", "nd_sent",
	"claim",
}

// SampleKinds lists the results of [SampleKind.String], by kind.
func SampleKinds() []string { return slices.Clone(sampleNames[:]) }

// String returns the kind's name, as in captures.
func (k SampleKind) String() string {
	if int(k) < len(sampleNames) {
		return sampleNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// MaxSampleBytes is how much of a frame a sample has: all headers that the programs look at.
const MaxSampleBytes = len(object.BPFTapSample{}.Data)

// Sample is a frame that the data plane consumed, judged or sent for a group, and what happened to it.
type Sample struct {
	// At is when it was received or sent, CLOCK_BOOTTIME ns. For an authentic advert it equals the time of its [Event].
	At      int64
	IfIndex int
	// VLAN is the tag that the kernel keeps beside the frame, 0 for none.
	VLAN uint16
	Slot uint32
	Kind SampleKind
	// Reason is one of [RejectReasons] or [DropReasons], for the kinds that have one.
	Reason string
	// Out means that the frame was on its way out.
	Out bool
	// Yielded, DemoteAware, OwnCounter and Proven are as in [Event].
	Yielded, DemoteAware, OwnCounter, Proven bool
	// Length is that of the whole frame, Data its beginning, at most [MaxSampleBytes].
	Length int
	Data   []byte
}

// TapStats counts samples that are missing, since the group was added.
type TapStats struct {
	// Skipped frames were beyond the budget of their class.
	Skipped uint64
	// Lost samples found the ring full.
	Lost uint64
}

// tap reads the samples. Nothing ever waits for it.
type tap struct {
	epoch *ebpf.Variable
	lost  *ebpf.Map

	mu     sync.Mutex
	reader *ringbuf.Reader // nil once closed
	number uint32
	rec    ringbuf.Record
	data   []byte // of the samples that the last call read
}

func openTap(maps *object.BPFMaps, epoch *ebpf.Variable) (*tap, error) {
	reader, err := ringbuf.NewReader(maps.Tap)
	if err != nil {
		return nil, fmt.Errorf("open the ring of samples: %w", err)
	}
	// In the past: reading never waits.
	reader.SetDeadline(time.Unix(1, 0))
	return &tap{epoch: epoch, lost: maps.TapLost, reader: reader}, nil
}

func (t *tap) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reader == nil {
		return nil
	}
	// Programs may continue without the agent: shut the tap.
	err := errors.Join(t.begin(0), t.reader.Close())
	t.reader = nil
	return err
}

// use sets the variable of the programs that holds the epoch.
func (t *tap) use(epoch *ebpf.Variable) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch = epoch
}

// begin sets the epoch, 0 to shut the tap. Programs of an earlier vipd have an epoch of their own.
func (t *tap) begin(epoch uint32) error {
	if t.epoch == nil {
		return nil
	}
	return t.epoch.Set(epoch)
}

// DrainTap appends the samples since the last call to dst, in the order of their time, and begins the next epoch of the
// budgets (bpf/tap.h): the first call opens the tap, and it shuts when the calls stop. lost is the number of samples
// that found the ring full since Open. DrainTap never waits, and any goroutine may call it. The samples' Data is good
// until the next call.
func (t *Tables) DrainTap(dst []Sample) (_ []Sample, lost uint64, err error) { return t.tap.drain(dst) }

func (t *tap) drain(dst []Sample) (_ []Sample, lost uint64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reader == nil {
		return dst, 0, object.ErrClosed
	}
	first := len(dst)
	t.data = t.data[:0]
	// A flood may add faster than this loop reads: read what was there on entry.
	for left := t.reader.AvailableBytes(); left > 0; left -= len(t.rec.RawSample) + ringHeader {
		err := t.reader.ReadInto(&t.rec)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return dst, 0, fmt.Errorf("read the ring of samples: %w", err)
		}
		s, err := decodeSample(t.rec.RawSample)
		if err != nil {
			return dst, 0, err
		}
		before := len(t.data)
		t.data = append(t.data, s.Data...)
		s.Data = t.data[before:len(t.data):len(t.data)]
		dst = append(dst, s)
	}
	slices.SortStableFunc(dst[first:], func(a, b Sample) int { return cmp.Compare(a.At, b.At) })
	if t.number++; t.number == 0 {
		t.number = 1
	}
	if err := t.begin(t.number); err != nil {
		return dst, 0, fmt.Errorf("begin the next epoch of samples: %w", err)
	}
	var cpus []uint64
	if err := t.lost.Lookup(uint32(0), &cpus); err != nil {
		return dst, 0, fmt.Errorf("read how many samples were lost: %w", err)
	}
	for _, n := range cpus {
		lost += n
	}
	return dst, lost, nil
}

// decodeSample returns the sample in b, where its Data stays.
func decodeSample(b []byte) (Sample, error) {
	var s object.BPFTapSample
	if len(b) != int(unsafe.Sizeof(s)) {
		return Sample{}, fmt.Errorf("sample of %d bytes, want %d: programs and daemon differ", len(b), unsafe.Sizeof(s))
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&s)), unsafe.Sizeof(s)), b)
	out := Sample{
		At: int64(s.At), IfIndex: int(s.Ifindex), VLAN: s.Vlan, Slot: s.Slot, Kind: SampleKind(s.What),
		Yielded:     s.Flags&eventYielded != 0,
		DemoteAware: s.Flags&eventDemoteAware != 0,
		OwnCounter:  s.Flags&eventOwnCounter != 0,
		Proven:      s.Flags&eventProven != 0,
		Length:      int(s.Len), Data: b[unsafe.Offsetof(s.Data):][:min(int(s.Caplen), MaxSampleBytes)],
	}
	if out.Kind == SampleRejected {
		out.Reason = nameOf(rejectNames[:], s.Why)
	}
	if out.Kind == SampleDropped {
		out.Reason = nameOf(droppedNames[:], s.Why)
	}
	out.Out = isOut(out.Kind, s.Why)
	return out, nil
}

func nameOf(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("reason %d", i)
}

// isOut reports whether a frame was on its way out.
func isOut(k SampleKind, why uint8) bool {
	if k == SampleDropped {
		const arp, ip, advert, nd = 2, 3, 4, 7 // DROP_EGRESS_*
		return why == arp || why == ip || why == advert || why == nd
	}
	return slices.Contains(
		[]SampleKind{SampleAdvertSent, SampleARPReply, SampleARPSent, SampleNDAdvertisement, SampleNDSent},
		k,
	)
}

// SetCapture lifts the group's sample budgets as far as a capture may, from the next drain of the tap on, or restores
// them.
func (g *Group) SetCapture(on bool) error {
	g.t.mu.RLock()
	defer g.t.mu.RUnlock()
	if err := g.usable(); err != nil {
		return err
	}
	var v uint32
	if on {
		v = 1
	}
	if err := g.t.maps.TapCapture.Put(g.slot, v); err != nil {
		return fmt.Errorf("set the capture of %s: %w", g.name, err)
	}
	return nil
}

// TapStats sums the group's missing samples over all CPUs.
func (g *Group) TapStats() (TapStats, error) {
	g.t.mu.RLock()
	defer g.t.mu.RUnlock()
	if err := g.usable(); err != nil {
		return TapStats{}, err
	}
	var cpus []object.BPFTapUsed
	if err := g.t.maps.TapUsed.Lookup(g.slot, &cpus); err != nil {
		return TapStats{}, fmt.Errorf("read what the samples of %s lack: %w", g.name, err)
	}
	var st TapStats
	for i := range cpus {
		st.Skipped += cpus[i].Skipped
		st.Lost += cpus[i].Lost
	}
	return st, nil
}
