// SPDX-License-Identifier: Apache-2.0

package pcapng

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"vipd/agent/control/api"
)

func sample() api.Incident {
	at := time.Unix(1700000000, 123456789).UTC()
	lag := 0.0015
	return api.Incident{
		ID: 3, Node: "fw1", Group: "eth0@1", Time: at, From: "MASTER", To: "BACKUP", Reason: "better_advert", Frames: 3,
		Records: []api.Record{
			{
				Time:      at.Add(-time.Second),
				Kind:      "advert_sent",
				Direction: "out",
				Interface: "eth0",
				Group:     "eth0@1",
				State:     "MASTER",
				Text:      "our advert",
				Length:    60,
				Frame:     bytes.Repeat([]byte{1}, 60),
			},
			{
				Time:       at.Add(-time.Millisecond),
				Kind:       "authentic",
				Direction:  "in",
				Interface:  "eth0",
				Group:      "eth0@1",
				State:      "MASTER",
				Text:       "advert of 192.0.2.12",
				Cause:      true,
				LagSeconds: &lag,
				Length:     1500,
				Frame:      bytes.Repeat([]byte{2}, 128),
			},
			{Time: at, Kind: api.RecordTransition, Group: "eth0@1", Text: "MASTER -> BACKUP"},
			{
				Time:      at.Add(1),
				Kind:      "rejected",
				Reason:    "bad_ttl",
				Direction: "in",
				Interface: "eth1",
				Group:     "eth0@1",
				State:     "BACKUP",
				Text:      "advert refused",
				Length:    15,
				Frame:     bytes.Repeat([]byte{3}, 15),
			},
		},
	}
}

// TestWriteIncident reads the file back: every frame with time, interface, length and comments.
func TestWriteIncident(t *testing.T) {
	in := sample()
	var b bytes.Buffer
	if err := WriteIncident(&b, "1.2.3", &in); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(&b, pcapgo.NgReaderOptions{WantMixedLinkType: false})
	if err != nil {
		t.Fatal(err)
	}
	if s := r.SectionInfo(); s.Application != "vipd 1.2.3" ||
		s.Comment != "node fw1: incident 3, eth0@1 MASTER -> BACKUP (better_advert) at 2023-11-14T22:13:20.123456789Z" {
		t.Errorf("section %+v", s)
	}
	want := []struct {
		ifname   string
		comments []string
	}{
		{"eth0", []string{"our advert [advert_sent, eth0@1 MASTER]"}},
		{
			"eth0",
			[]string{"CAUSE of the transition: advert of 192.0.2.12 [authentic, eth0@1 MASTER, vipd had it after 1.500 ms]"},
		},
		{"eth1", []string{"before this frame: MASTER -> BACKUP", "advert refused [rejected bad_ttl, eth0@1 BACKUP]"}},
	}
	frames := []int{0, 1, 3}
	for i, w := range want {
		data, ci, opts, err := r.ReadPacketDataWithOptions()
		if err != nil {
			t.Fatal(err)
		}
		rec := in.Records[frames[i]]
		if !bytes.Equal(data, rec.Frame) || ci.Length != rec.Length || !ci.Timestamp.Equal(rec.Time) {
			t.Errorf("frame %d: %+v of %d bytes, want %+v", i, ci, len(data), rec)
		}
		iface, err := r.Interface(ci.InterfaceIndex)
		if err != nil || iface.Name != w.ifname {
			t.Errorf("frame %d: interface %+v, %v", i, iface, err)
		}
		if len(opts.Comments) != len(w.comments) {
			t.Fatalf("frame %d: comments %q, want %q", i, opts.Comments, w.comments)
		}
		for k := range w.comments {
			if opts.Comments[k] != w.comments[k] {
				t.Errorf("frame %d: comment %q, want %q", i, opts.Comments[k], w.comments[k])
			}
		}
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v", err)
	}
}

func TestNoFrames(t *testing.T) {
	in := sample()
	for i := range in.Records {
		in.Records[i].Frame = nil
	}
	if err := WriteIncident(io.Discard, "1", &in); !errors.Is(err, ErrNoFrames) {
		t.Error(err)
	}
}
