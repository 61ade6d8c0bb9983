// SPDX-License-Identifier: Apache-2.0

package tables_test

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"vipd/loader/model"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// TestVIPsShareAnEntry: addresses whose entry is one and the same are answered each for itself, also when the one that
// has it goes; one that is nobody's is not.
func TestVIPsShareAnEntry(t *testing.T) {
	addrs := tables.Sharing(t, 3, model.LoIndex)
	first, second, stranger := addrs[0], addrs[1], addrs[2]
	h := model.NewHarness(t, first.String(), second.String())
	h.Master(1)
	answered := func(a netip.Addr) bool {
		t.Helper()
		verdict, _ := h.Run(model.ARPFor(a.String()).Bytes())
		return verdict == model.XDPTX
	}
	if !answered(first) || !answered(second) || answered(stranger) {
		t.Errorf("two addresses: %v, %v; a stranger %v", answered(first), answered(second), answered(stranger))
	}
	h.Fresh(model.GoldenSpec(second.String()))
	h.Master(h.Group.Generation() + 1)
	if answered(first) || !answered(second) {
		t.Errorf("the second alone: the first is answered %v, the second %v", answered(first), answered(second))
	}
	only := model.GoldenSpec(second.String(), first.String())
	if err := h.Group.Update(only); err != nil {
		t.Fatal(err)
	}
	only.VIPs = only.VIPs[1:]
	if err := h.Group.Update(only); err != nil {
		t.Fatal(err)
	}
	if !answered(first) || answered(second) {
		t.Errorf("the first alone: the first is answered %v, the second %v", answered(first), answered(second))
	}
}

// TestVIPPlaceRewritten: while the agent writes an address anew, no request for it slips through to the stack.
func TestVIPPlaceRewritten(t *testing.T) {
	h := model.NewHarness(t)
	h.Master(1)
	request := model.ARPFor("192.0.2.1").Bytes()
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
			spec := model.GoldenSpec("192.0.2.1")
			spec.Router = writes.Load()&1 == 0
			if err := h.Group.Update(spec); err != nil {
				t.Error(err)
				return
			}
			writes.Add(1)
		}
	})
	for range 20_000 {
		if verdict, _ := h.Run(request); verdict != model.XDPTX {
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

// TestModelSharesEntries: random frames are about addresses that share an entry.
func TestModelSharesEntries(t *testing.T) {
	at := func(a netip.Addr) uint32 {
		return tables.VIPIndex(object.BPFVipKey{Addr: a.As16(), Ifindex: model.LoIndex})
	}
	if at(model.SharesWith6) != at(model.VIP6) || at(model.Shares) != at(model.VIP6) ||
		at(model.SharesWith4) != at(model.VIPs4[0]) {
		t.Error("no addresses share an entry: the witness is missing")
	}
}
