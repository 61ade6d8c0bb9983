// SPDX-License-Identifier: Apache-2.0

package loader

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
)

// SampleKind says what became of a sampled frame.
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
	SampleARPGratuitous                     // somebody announces the VIP
	SampleARPSent                           // from a VIP, by this host's stack or agent
	SampleNDSolicitation                    // asked for a VIP, and answered
	SampleNDAdvertisement                   // the answer
	SampleNDSent                            // from a VIP, by this host's stack or agent
)

var sampleNames = [...]string{
	"authentic", "rejected", "dropped", "foreign_vrrp", "advert_sent", "arp_request", "arp_reply",
	"arp_gratuitous", "arp_sent", "nd_solicitation", "nd_advertisement", "nd_sent",
}

// SampleKinds lists what [SampleKind.String] gives, by kind.
func SampleKinds() []string { return slices.Clone(sampleNames[:]) }

// String is the kind's name, as in captures.
func (k SampleKind) String() string {
	if int(k) < len(sampleNames) {
		return sampleNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// MaxSampleBytes is how much of a frame a sample has: all headers that are judged.
const MaxSampleBytes = len(bpfTapSample{}.Data)

// Sample is a frame that the data plane consumed, judged or sent for a group, with
// what became of it.
type Sample struct {
	// At is when it was received or sent, CLOCK_BOOTTIME ns. An authentic advert has
	// the very time of its [Event].
	At      int64
	IfIndex int
	// VLAN is the tag that the kernel keeps beside the frame, 0 for none.
	VLAN uint16
	Slot uint32
	Kind SampleKind
	// Reason is one of [RejectReasons] or [DropReasons], for the kinds that have one.
	Reason string
	// Out: on its way out.
	Out bool
	// Yielded, DemoteAware, OwnCounter and Sealed are as in [Event].
	Yielded, DemoteAware, OwnCounter, Sealed bool
	// Length is the frame's own, Data its beginning, at most [MaxSampleBytes].
	Length int
	Data   []byte
}

// TapStats counts what a group's samples lack, since the group was added.
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
}

func openTap(o *bpfObjects) (*tap, error) {
	reader, err := ringbuf.NewReader(o.Tap)
	if err != nil {
		return nil, fmt.Errorf("open the ring of samples: %w", err)
	}
	// In the past: reading never waits.
	reader.SetDeadline(time.Unix(1, 0))
	return &tap{epoch: o.TapEpoch, lost: o.TapLost, reader: reader}, nil
}

func (t *tap) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Programs may go on without us: the tap is shut.
	err := errors.Join(t.epoch.Set(uint32(0)), t.reader.Close())
	t.reader = nil
	return err
}

// DrainTap appends to dst the samples since the last call, in the order of their time,
// and begins the next epoch of the budgets (bpf/tap.h): the first call opens the tap,
// and who stops calling shuts it. lost is how many found the ring full since [Open].
// It never waits, and may be called by any goroutine.
func (d *Dataplane) DrainTap(dst []Sample) (_ []Sample, lost uint64, err error) {
	t := d.tap
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reader == nil {
		return dst, 0, ErrClosed
	}
	first := len(dst)
	// A flood may add faster than we take: take what was there on entry.
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
		dst = append(dst, s)
	}
	slices.SortStableFunc(dst[first:], func(a, b Sample) int { return cmp.Compare(a.At, b.At) })
	if t.number++; t.number == 0 {
		t.number = 1
	}
	if err := t.epoch.Set(t.number); err != nil {
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

func decodeSample(b []byte) (Sample, error) {
	var s bpfTapSample
	if len(b) != int(unsafe.Sizeof(s)) {
		return Sample{}, fmt.Errorf("sample of %d bytes, want %d: programs and daemon differ", len(b), unsafe.Sizeof(s))
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&s)), unsafe.Sizeof(s)), b)
	out := Sample{
		At: int64(s.At), IfIndex: int(s.Ifindex), VLAN: s.Vlan, Slot: s.Slot, Kind: SampleKind(s.What),
		Yielded:     s.Flags&eventYielded != 0,
		DemoteAware: s.Flags&eventDemoteAware != 0,
		OwnCounter:  s.Flags&eventOwnCounter != 0,
		Sealed:      s.Flags&eventSealed != 0,
		Length:      int(s.Len), Data: slices.Clone(s.Data[:min(int(s.Caplen), MaxSampleBytes)]),
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

// isOut says whether a frame was on its way out.
func isOut(k SampleKind, why uint8) bool {
	if k == SampleDropped {
		const arp, ip, advert, nd = 2, 3, 4, 7 // DROP_EGRESS_*
		return why == arp || why == ip || why == advert || why == nd
	}
	return slices.Contains([]SampleKind{SampleAdvertSent, SampleARPReply, SampleARPSent, SampleNDAdvertisement, SampleNDSent}, k)
}

// SetCapture lifts the group's budgets of samples, as far as a capture may have them,
// from the next drain of the tap on; or lowers them again.
func (g *Group) SetCapture(on bool) error {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	if err := g.usable(); err != nil {
		return err
	}
	var v uint32
	if on {
		v = 1
	}
	if err := g.d.objs.TapCapture.Put(g.slot, v); err != nil {
		return fmt.Errorf("set the capture of %s: %w", g.name, err)
	}
	return nil
}

// TapStats sums over all CPUs what the group's samples lack.
func (g *Group) TapStats() (TapStats, error) {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	if err := g.usable(); err != nil {
		return TapStats{}, err
	}
	var cpus []bpfTapUsed
	if err := g.d.objs.TapUsed.Lookup(g.slot, &cpus); err != nil {
		return TapStats{}, fmt.Errorf("read what the samples of %s lack: %w", g.name, err)
	}
	var st TapStats
	for i := range cpus {
		st.Skipped += cpus[i].Skipped
		st.Lost += cpus[i].Lost
	}
	return st, nil
}
