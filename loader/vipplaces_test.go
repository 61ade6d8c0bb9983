// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// find looks for an address as bpf/place.h does. ask: the vips map decides.
func (t *vipPlaceTable) find(key bpfVipKey) (val [2]uint64, found, ask bool) {
	e := t.entry(vipIndex(key))
	if t.has(e, placeKeyWords(key)) {
		return [2]uint64{e[placeVal], e[placeVal+1]}, true, false
	}
	return val, false, e[placeMore] != 0
}

// sharing is n addresses that have one entry of the table on an interface.
func sharing(t *testing.T, n int, ifindex uint32) []netip.Addr {
	t.Helper()
	var found []netip.Addr
	want := uint32(0)
	for i := uint32(1); i < 1<<24 && len(found) < n; i++ {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		at := vipIndex(bpfVipKey{Addr: a.As16(), Ifindex: ifindex})
		if len(found) == 0 {
			want = at
		}
		if at == want {
			found = append(found, a)
		}
	}
	if len(found) < n {
		t.Fatalf("%d of %d addresses share an entry", len(found), n)
	}
	return found
}

// TestVIPPlacesModel: whatever comes and goes, in whatever order, what the table says is what the vips map says.
func TestVIPPlacesModel(t *testing.T) {
	d := openTest(t, Options{})
	table := d.vipPlace
	var keys []bpfVipKey
	for _, ifindex := range []uint32{1, 2, 900} {
		for _, a := range sharing(t, 4, ifindex) {
			keys = append(keys, bpfVipKey{Addr: a.As16(), Ifindex: ifindex})
		}
		keys = append(keys, bpfVipKey{Addr: vip6.As16(), Ifindex: ifindex})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	model := make(map[bpfVipKey]bpfVipVal)
	asked := 0
	for step := range 20_000 {
		key := keys[rng.IntN(len(keys))]
		if val := (bpfVipVal{Group: rng.Uint32N(3), Vip: rng.Uint32N(9), Vhid: uint8(rng.Uint32N(4))}); rng.IntN(3) > 0 {
			model[key] = val
			table.put(key, val)
		} else {
			delete(model, key)
			table.drop(key)
		}
		for _, k := range keys {
			val, found, ask := table.find(k)
			want, known := model[k]
			switch {
			case found && (!known || val != vipVal(want)):
				t.Fatalf("step %d: %v has %v, want %v, %v", step, k, val, want, known)
			case !found && !ask && known:
				t.Fatalf("step %d: %v is nobody's to the programs", step, k)
			case !found && ask && known:
				asked++
			}
		}
	}
	if asked == 0 {
		t.Error("no address ever had to do without its entry: nothing was tested")
	}
	for _, k := range keys {
		table.drop(k)
		if _, found, _ := table.find(k); found {
			t.Errorf("%v is there after all", k)
		}
	}
	for _, k := range keys {
		if _, _, ask := table.find(k); ask {
			t.Errorf("the entry of %v still sends to the vips map", k)
		}
	}
	if len(table.more) != 0 {
		t.Errorf("left: %v", table.more)
	}
}

// TestVIPsShareAnEntry: addresses whose entry is one and the same are answered each for itself, also when the one that
// has it goes; one that is nobody's is not.
func TestVIPsShareAnEntry(t *testing.T) {
	addrs := sharing(t, 3, loIndex)
	first, second, stranger := addrs[0], addrs[1], addrs[2]
	h := newHarness(t, first.String(), second.String())
	h.master(1)
	answered := func(a netip.Addr) bool {
		t.Helper()
		verdict, _ := h.run(arpFor(a.String()).bytes())
		return verdict == xdpTX
	}
	if !answered(first) || !answered(second) || answered(stranger) {
		t.Errorf("two addresses: %v, %v; a stranger %v", answered(first), answered(second), answered(stranger))
	}
	h.fresh(goldenSpec(second.String()))
	h.master(h.g.Generation() + 1)
	if answered(first) || !answered(second) {
		t.Errorf("the second alone: the first is answered %v, the second %v", answered(first), answered(second))
	}
	only := goldenSpec(second.String(), first.String())
	if err := h.g.Update(only); err != nil {
		t.Fatal(err)
	}
	only.VIPs = only.VIPs[1:]
	if err := h.g.Update(only); err != nil {
		t.Fatal(err)
	}
	if !answered(first) || answered(second) {
		t.Errorf("the first alone: the first is answered %v, the second %v", answered(first), answered(second))
	}
}

// TestVIPPlaceRewritten: while the agent writes an address anew, no request for it slips through to the stack.
func TestVIPPlaceRewritten(t *testing.T) {
	h := newHarness(t)
	h.master(1)
	request := arpFor("192.0.2.1").bytes()
	var writer sync.WaitGroup
	stop := make(chan struct{})
	var writes atomic.Int64
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			spec := goldenSpec("192.0.2.1")
			spec.Router = writes.Load()&1 == 0
			if err := h.g.Update(spec); err != nil {
				t.Error(err)
				return
			}
			writes.Add(1)
		}
	})
	for range 20_000 {
		if verdict, _ := h.run(request); verdict != xdpTX {
			t.Errorf("verdict %d after %d writes", verdict, writes.Load())
			break
		}
	}
	close(stop)
	writer.Wait()
	if n := writes.Load(); n < 1000 {
		t.Errorf("%d writes: hardly anything was tested", n)
	}
}
