// SPDX-License-Identifier: Apache-2.0

// Package pcapng writes records of the flight recorder as a capture file for Wireshark and tshark:
// every frame with its interface, its time with nanoseconds, and a comment on its handling.
package pcapng

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"vipd/agent/control/api"
)

// ErrNoFrames means that the records have no frames: the user may not see them.
var ErrNoFrames = errors.New("vipd returned no frames; only root receives them, run the command with sudo")

// snapLength is the largest captured length of a frame.
const snapLength = 128

// Writer writes records one by one. A transition becomes a comment of the next frame.
type Writer struct {
	out     *bufio.Writer
	ng      *pcapgo.NgWriter
	header  header
	ifaces  map[string]int
	pending []string
	frames  int
}

type header struct{ node, version, about string }

// NewWriter returns a writer for a node's records; about describes them.
func NewWriter(w io.Writer, node, version, about string) *Writer {
	return &Writer{out: bufio.NewWriter(w), header: header{node, version, about}, ifaces: map[string]int{}}
}

// Interface declares an interface. The first one begins the file, so that a reader at the other end
// of a pipe can show it.
func (w *Writer) Interface(name string) error {
	_, err := w.index(name)
	return err
}

func (w *Writer) index(name string) (int, error) {
	if i, ok := w.ifaces[name]; ok {
		return i, nil
	}
	iface := pcapgo.NgInterface{
		Name: name, Description: "frames that vipd's data plane consumed, checked or sent on " + name,
		OS: "Linux", LinkType: layers.LinkTypeEthernet, TimestampResolution: 9, SnapLength: snapLength,
	}
	if w.ng == nil {
		ng, err := pcapgo.NewNgWriterInterface(w.out, iface, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
			OS: "Linux", Application: "vipd " + w.header.version,
			Comment: fmt.Sprintf("node %s: %s", w.header.node, w.header.about),
		}})
		if err != nil {
			return 0, fmt.Errorf("begin the capture file: %w", err)
		}
		w.ng, w.ifaces[name] = ng, 0
		return 0, nil
	}
	i, err := w.ng.AddInterface(iface)
	if err != nil {
		return 0, fmt.Errorf("add interface %s to the capture file: %w", name, err)
	}
	w.ifaces[name] = i
	return i, nil
}

// Write adds one record.
func (w *Writer) Write(r *api.Record) error {
	if r.Kind == api.RecordTransition {
		w.pending = append(w.pending, "before this frame: "+r.Text)
		return nil
	}
	if len(r.Frame) == 0 {
		return nil
	}
	i, err := w.index(r.Interface)
	if err != nil {
		return err
	}
	opts := pcapgo.NgPacketOptions{Comments: append(w.pending, Comment(r))}
	w.pending = nil
	flags := pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionInbound}
	if r.Direction == "out" {
		flags.Direction = pcapgo.NgEpbFlagDirectionOutbound
	}
	opts.Flags = &flags
	ci := gopacket.CaptureInfo{
		Timestamp:      r.Time,
		CaptureLength:  len(r.Frame),
		Length:         max(r.Length, len(r.Frame)),
		InterfaceIndex: i,
	}
	if err := w.ng.WritePacketWithOptions(ci, r.Frame, opts); err != nil {
		return fmt.Errorf("write the capture file: %w", err)
	}
	w.frames++
	return nil
}

// Flush writes everything to the file.
func (w *Writer) Flush() error {
	if w.ng != nil {
		if err := w.ng.Flush(); err != nil {
			return err
		}
	}
	return w.out.Flush()
}

// Comment returns the comment of a frame.
func Comment(r *api.Record) string {
	var b strings.Builder
	if r.Cause {
		b.WriteString("CAUSE of the transition: ")
	}
	b.WriteString(r.Text)
	fmt.Fprintf(&b, " [%s", r.Kind)
	if r.Reason != "" {
		b.WriteString(" " + r.Reason)
	}
	b.WriteString(", " + r.Group)
	if r.State != "" {
		b.WriteString(" " + r.State)
	}
	if r.LagSeconds != nil {
		fmt.Fprintf(&b, ", vipd had it after %.3f ms", *r.LagSeconds*1000)
	}
	b.WriteString("]")
	return b.String()
}

// WriteIncident writes an incident. It returns ErrNoFrames if the frames were withheld.
func WriteIncident(out io.Writer, version string, in *api.Incident) error {
	w := NewWriter(out, in.Node, version, fmt.Sprintf("incident %d, %s %s -> %s (%s) at %s",
		in.ID, in.Group, in.From, in.To, in.Reason, in.Time.Format("2006-01-02T15:04:05.000000000Z07:00")))
	ifname, _, _ := strings.Cut(in.Group, "@")
	if err := w.Interface(ifname); err != nil {
		return err
	}
	for i := range in.Records {
		if err := w.Write(&in.Records[i]); err != nil {
			return err
		}
	}
	if w.frames == 0 && in.Frames > 0 {
		return ErrNoFrames
	}
	return w.Flush()
}
