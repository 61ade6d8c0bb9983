// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A hello is what a vipd BACKUP tells the vipd MASTER about itself, and the MASTER's answer. It decides nothing. See
// docs/authentication.md.

const (
	// HelloMax is the length of the longest hello in bytes.
	HelloMax = 512
	// HelloBody is the offset of what a hello says, after number and tag.
	HelloBody = 24
	// NeverTakesOver in Hello.TakesOverIn: the node does not take over by itself.
	NeverTakesOver = math.MaxUint32 * time.Millisecond

	helloFirst = 0xf1 // version nibble 15, which no CARP or VRRP has, and type 1

	// Limits of the texts in bytes, and of the addresses.
	helloMaxNode      = 64 // what a config allows
	helloMaxVersion   = 63
	helloMaxDemotions = 127
	helloMaxAddresses = 16

	// Offsets in a hello.
	helloLength    = 2
	helloNumber    = 8
	helloTag       = 16
	helloTakesOver = 32
	helloBeat      = 44
	helloEvery     = 46
	helloRun       = 47
	helloTexts     = 48
	helloMin       = 56 // four lengths and the zeros after them
)

// HelloState is the state of a node's group, with the data plane's numbers.
type HelloState uint8

// The states of a hello.
const (
	HelloInit HelloState = iota + 1
	HelloBackup
	HelloMaster
)

// String returns the word that the status uses.
func (s HelloState) String() string {
	switch s {
	case HelloInit:
		return "INIT"
	case HelloBackup:
		return "BACKUP"
	case HelloMaster:
		return "MASTER"
	default:
		return "unknown"
	}
}

// The bits of the byte of flags.
const (
	helloMaintenance = 1 << iota
	helloPreempt
	helloDisabled
	helloAnswer
	helloComplete
)

// Hello is what a node tells a peer about itself in one group.
type Hello struct {
	VHID   uint8
	Number uint64 // of the node's sequence, like an advertisement's

	State       HelloState
	Maintenance bool // the operator wishes that the node gives way
	Preempt     bool // [carp] preempt
	Disabled    bool // switched off by the operator
	Answer      bool // it answers a hello
	Complete    bool // Addresses is the whole list

	AdvBase, AdvSkew                   uint8 // as configured: seconds, 1/256 s
	EffectiveAdvBase, EffectiveAdvSkew uint8 // as advertised, with the demotion
	Demotion                           uint16

	// TakesOverIn is how long after the last advertisement that it heard the node claims, in milliseconds on the wire;
	// NeverTakesOver, or longer: not by itself.
	TakesOverIn time.Duration
	List        uint32 // fingerprint of the addresses, see ListFingerprint
	Key         uint32 // fingerprint of the password, see TrailerKey.Fingerprint
	Beat        uint16 // microseconds; 0: none
	// Every is how often the node says hello to this peer in this group, unless something changes: whole seconds on the
	// wire, at most 255; 0: it does not state it.
	Every time.Duration
	// Run differs from one process of a node to the next, but for one of 255; 0: it does not state it.
	Run uint8

	Node      string       // at most 64 bytes on the wire
	Version   string       // of vipd, at most 63 bytes
	Demotions []string     // names of the contributions to Demotion, at most 127 bytes with commas
	Addresses []netip.Addr // VIPs, as many as there is room for
}

// Cut returns h with its texts as they arrive: those that are too long are cut, and names of demotions for which there
// is no room are left out. A text of this node's is compared with a peer's in this form.
func (h Hello) Cut() Hello {
	h.Node, h.Version = cut(h.Node, helloMaxNode), cut(h.Version, helloMaxVersion)
	h.Demotions = wholeNames(h.Demotions, helloMaxDemotions)
	return h
}

// AppendBinary appends h to b, with a tag of zero, see [TrailerKey.SignHello] and [Hello.Cut]. It leaves out addresses
// for which there is no room; the list is then not complete. The error is always nil, as encoding.BinaryAppender
// requires one.
func (h Hello) AppendBinary(b []byte) ([]byte, error) {
	h = h.Cut()
	start := len(b)
	b = append(b, make([]byte, helloTexts)...)
	p := b[start:]
	p[0], p[1] = helloFirst, h.VHID
	binary.BigEndian.PutUint64(p[helloNumber:], h.Number)
	body := p[HelloBody:]
	body[0] = uint8(h.State)
	body[2], body[3], body[4], body[5] = h.AdvBase, h.AdvSkew, h.EffectiveAdvBase, h.EffectiveAdvSkew
	binary.BigEndian.PutUint16(body[6:], h.Demotion)
	takesOver := min(max(h.TakesOverIn, 0), NeverTakesOver) / time.Millisecond
	binary.BigEndian.PutUint32(p[helloTakesOver:], uint32(takesOver))
	binary.BigEndian.PutUint32(p[helloTakesOver+4:], h.List)
	binary.BigEndian.PutUint32(p[helloTakesOver+8:], h.Key)
	binary.BigEndian.PutUint16(p[helloBeat:], h.Beat)
	p[helloEvery] = uint8(min(max(h.Every, 0), math.MaxUint8*time.Second) / time.Second)
	p[helloRun] = h.Run
	b = appendText(b, h.Node)
	b = appendText(b, h.Version)
	b = appendText(b, strings.Join(h.Demotions, ","))
	b, whole := appendAddresses(b, h.Addresses, start+HelloMax)
	for (len(b)-start)%8 != 0 {
		b = append(b, 0)
	}
	b[start+HelloBody+1] = h.flags(whole)
	binary.BigEndian.PutUint16(b[start+helloLength:], uint16(len(b)-start))
	return b, nil
}

func (h *Hello) flags(whole bool) uint8 {
	var f uint8
	for bit, is := range []bool{h.Maintenance, h.Preempt, h.Disabled, h.Answer, h.Complete && whole} {
		if is {
			f |= 1 << bit
		}
	}
	return f
}

// appendAddresses appends the number of addresses and as many of them as fit before end, and reports whether all do.
func appendAddresses(b []byte, addrs []netip.Addr, end int) ([]byte, bool) {
	at := len(b)
	b = append(b, 0)
	for i, a := range addrs {
		a = a.Unmap()
		size := a.BitLen() / 8
		if i == helloMaxAddresses || len(b)+1+size > end {
			return b, false
		}
		ip := a.As16() // IPv4 is mapped: its bytes are the last ones
		b = append(append(b, uint8(size)), ip[len(ip)-size:]...)
		b[at]++
	}
	return b, true
}

func appendText(b []byte, s string) []byte { return append(append(b, uint8(len(s))), s...) }

// cut returns as many whole characters of s as fit.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// wholeNames returns as many names as fit, joined by commas.
func wholeNames(names []string, most int) []string {
	size := -1 // the first has no comma
	for i, name := range names {
		if size += 1 + len(name); size > most {
			return names[:i]
		}
	}
	return names
}

// IsHello reports whether the payload of an IP packet of protocol 112 is a hello.
func IsHello(payload []byte) bool { return len(payload) > 0 && payload[0] == helloFirst }

// ParseHello parses the payload of an IP packet of protocol 112. It ignores flags and bytes of later versions, and does
// not check the tag, see [TrailerKey.HelloTag].
//
// Errors: ErrShort, ErrVersion, ErrLength, ErrRange (a text that cannot be printed).
func ParseHello(b []byte) (Hello, error) {
	if len(b) == 0 {
		return Hello{}, fmt.Errorf("parse hello of 0 bytes: %w", ErrShort)
	}
	if !IsHello(b) {
		return Hello{}, fmt.Errorf("parse hello that begins with %#02x: %w", b[0], ErrVersion)
	}
	if len(b) < helloMin {
		return Hello{}, fmt.Errorf("parse hello of %d bytes: %w", len(b), ErrShort)
	}
	if n := int(binary.BigEndian.Uint16(b[helloLength:])); n != len(b) || n%8 != 0 || n > HelloMax {
		return Hello{}, fmt.Errorf("parse hello of %d bytes that states %d: %w", len(b), n, ErrLength)
	}
	h := Hello{VHID: b[1], Number: binary.BigEndian.Uint64(b[helloNumber:])}
	h.readNumbers(b)
	if err := h.readTexts(b[helloTexts:]); err != nil {
		return Hello{}, fmt.Errorf("parse hello of vhid %d: %w", b[1], err)
	}
	return h, nil
}

func (h *Hello) readNumbers(b []byte) {
	body := b[HelloBody:]
	f := body[1]
	h.State = HelloState(body[0])
	h.Maintenance, h.Preempt, h.Disabled = f&helloMaintenance != 0, f&helloPreempt != 0, f&helloDisabled != 0
	h.Answer, h.Complete = f&helloAnswer != 0, f&helloComplete != 0
	h.AdvBase, h.AdvSkew, h.EffectiveAdvBase, h.EffectiveAdvSkew = body[2], body[3], body[4], body[5]
	h.Demotion = binary.BigEndian.Uint16(body[6:])
	h.TakesOverIn = time.Duration(binary.BigEndian.Uint32(b[helloTakesOver:])) * time.Millisecond
	h.List = binary.BigEndian.Uint32(b[helloTakesOver+4:])
	h.Key = binary.BigEndian.Uint32(b[helloTakesOver+8:])
	h.Beat = binary.BigEndian.Uint16(b[helloBeat:])
	h.Every, h.Run = time.Duration(b[helloEvery])*time.Second, b[helloRun]
}

func (h *Hello) readTexts(b []byte) error {
	var demotions string
	var err error
	for _, text := range []struct {
		to   *string
		most int
	}{{&h.Node, helloMaxNode}, {&h.Version, helloMaxVersion}, {&demotions, helloMaxDemotions}} {
		if *text.to, b, err = readText(b, text.most); err != nil {
			return err
		}
	}
	if demotions != "" {
		h.Demotions = strings.Split(demotions, ",")
	}
	h.Addresses, err = readAddresses(b)
	return err
}

// readText returns the text at the beginning of b and what follows it. It ends up in logs, pages and terminals.
func readText(b []byte, most int) (string, []byte, error) {
	part, rest, err := readPart(b)
	if err != nil {
		return "", nil, err
	}
	s := string(part)
	if len(s) > most {
		return "", nil, fmt.Errorf("text of %d bytes, at most %d: %w", len(s), most, ErrLength)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return "", nil, fmt.Errorf("text %q: %w", s, ErrRange)
	}
	return s, rest, nil
}

// readPart returns the part at the beginning of b, whose length is its first byte, and what follows it.
func readPart(b []byte) (part, rest []byte, err error) {
	if len(b) == 0 || len(b) <= int(b[0]) {
		return nil, nil, fmt.Errorf("part that ends behind the end: %w", ErrLength)
	}
	end := 1 + int(b[0])
	return b[1:end], b[end:], nil
}

func readAddresses(b []byte) ([]netip.Addr, error) {
	if len(b) == 0 || b[0] > helloMaxAddresses {
		return nil, fmt.Errorf("list of addresses: %w", ErrLength)
	}
	var out []netip.Addr
	n, b := int(b[0]), b[1:]
	for range n {
		part, rest, err := readPart(b)
		if err != nil {
			return nil, err
		}
		a, ok := netip.AddrFromSlice(part)
		if !ok {
			return nil, fmt.Errorf("address of %d bytes: %w", len(part), ErrLength)
		}
		out, b = append(out, a.Unmap()), rest
	}
	return out, nil
}
