// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxPassword is a peer's 20-byte key less its NUL.
	maxPassword = 19
	// maxSkewSent is the highest advskew that FreeBSD and vipd send
	// (CARP_MAXSKEW, ip_carp.h).
	maxSkewSent = 240
	// maxDemotion is the largest value of OpenBSD's demote byte.
	maxDemotion = 255
	// maxInterface is IFNAMSIZ less its NUL.
	maxInterface = 15
	// maxSocketPath is sun_path less its NUL.
	maxSocketPath = 107
	// maxGroups and maxVIPs are tested limits; the kernel's maps have the size that the config needs.
	maxGroups = 16384
	maxVIPs   = 32768
	// maxContexts is the number of contexts per group that the kernel tries, its own included.
	maxContexts = 8
	maxAccept   = maxContexts - 1
	// maxPreemptDelay is longer than any routing protocol takes to converge.
	maxPreemptDelay = time.Hour
	// maxClaimDelay is longer than any spanning tree takes to converge.
	maxClaimDelay = time.Hour
	// minPeerMemory is longer than a reload takes anywhere, maxPeerMemory than a node is out of service.
	minPeerMemory = time.Minute
	maxPeerMemory = 366 * 24 * time.Hour
	// minHookTimeout is enough for a small script, maxHookTimeout for the commit of a large
	// connection table.
	minHookTimeout = 100 * time.Millisecond
	maxHookTimeout = time.Hour
	// maxRecordMemory is in MiB; maxIncidents limits the files in one directory.
	maxRecordMemory = 1024
	maxIncidents    = 1000
	// maxText limits descriptions and what is like them.
	maxText = 255
	// maxNodeName is Linux's limit of a host's name. A hello has room for as much: nodes are told apart by their names.
	maxNodeName = 64
)

// checkInterface checks the name as dev_valid_name (net/core/dev.c) does. The interface may be
// created later.
func (d *draft) checkInterface() {
	name := d.group.Interface
	bad := interfaceFault(name)
	if name == "lo" {
		bad = "is the loopback interface, which has no peers"
	}
	if bad != "" {
		d.problem("interface", "%q %s; %s", name, bad, allowedInterface())
	}
	d.hasInterface = bad == ""
}

func interfaceFault(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxInterface:
		return "is " + strconv.Itoa(len(name)) + " bytes long"
	case name == "." || name == ".." || strings.ContainsFunc(name, func(c rune) bool {
		return c == '/' || c == ':' || c == utf8.RuneError || unicode.IsSpace(c) || unicode.IsControl(c)
	}):
		return "is not a name that the kernel allows"
	}
	return ""
}

func allowedInterface() string {
	return fmt.Sprintf("allowed is the name of a network interface, 1..%d bytes without blanks, / and :", maxInterface)
}

// addressList is the type of addresses in messages.
const addressList = "addresses with prefix length, such as \"192.0.2.100/24\""

// readAddresses returns the valid addresses with their lines.
func readAddresses(r *report, key string, items []item) (good []netip.Prefix, lines []int) {
	seen := make(map[netip.Addr]bool, len(items))
	for _, it := range items {
		p, why := parseVIP(it.text)
		if why != "" {
			r.problem(it.line, key, "%q %s", it.text, why)
			continue
		}
		if seen[p.Addr()] {
			r.problem(it.line, key, "%s is given more than once; keep one", p.Addr())
			continue
		}
		seen[p.Addr()] = true
		good = append(good, p)
		lines = append(lines, it.line)
	}
	return good, lines
}

// parseVIP also returns why the text cannot be a virtual IP.
func parseVIP(text string) (netip.Prefix, string) {
	const allowed = "allowed is a unicast address with the prefix length of its network, such as 192.0.2.100/24"
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, addrErr := netip.ParseAddr(text)
		switch {
		case addrErr == nil && a.Zone() != "":
			return p, "has a zone; set the interface with the key interface"
		case addrErr == nil && a.Is4():
			return p, "has no prefix length; write that of its network, such as " + text + "/24"
		case addrErr == nil:
			return p, "has no prefix length; write that of its network, such as " + text + "/64"
		}
		return p, "is not an address; " + allowed
	}
	a := p.Addr()
	if a.Is4In6() {
		return p, "is an IPv4-mapped IPv6 address; write " + a.Unmap().String() + " with its IPv4 prefix length"
	}
	if why := unicastFault(a); why != "" {
		return p, why + "; " + allowed
	}
	if p.Bits() == 0 {
		return p, "has prefix length 0; " + allowed
	}
	if a.BitLen()-p.Bits() >= 2 && a == p.Masked().Addr() { // /31, /32, /127 and /128 have no such address
		return p, "is the address of the network itself; choose one for a host in it"
	}
	if IsBroadcast(a, p) {
		return p, "is the broadcast address of its network; choose one for a host in it"
	}
	return p, ""
}

// unicastFault returns why a host cannot have the address.
func unicastFault(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "is the unspecified address"
	case a.IsLoopback():
		return "is a loopback address"
	case a.IsMulticast():
		return "is a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is the broadcast address"
	case a.Is4() && a.As4()[0] == 0:
		return "is in 0.0.0.0/8, which no host can have"
	}
	return ""
}

// IsBroadcast reports whether a is the last address of the IPv4 network, and not that of a host. /31 and /32 have none.
func IsBroadcast(a netip.Addr, network netip.Prefix) bool {
	return a.Is4() && network.Contains(a) && network.Bits() <= 30 && !network.Contains(a.Next())
}

func (d *draft) checkInterval() {
	if d.group.AdvBase == 0 && d.group.AdvSkew == 0 {
		d.problem("advbase", "0 needs advskew >= 1, since the interval is advbase seconds + advskew/256 s; "+
			"allowed is 1..254, or 0 with advskew 1..254")
	}
	if d.group.AdvSkew > maxSkewSent {
		d.warn("advskew", "%d is sent as %d, as FreeBSD does", d.group.AdvSkew, maxSkewSent)
	}
}

// decodeBeat reads how often a MASTER advertises.
func decodeBeat(d *draft) {
	const key = "beat"
	var beat time.Duration
	if !d.duration(key, 0, MaxBeat, &beat) || beat == 0 {
		return
	}
	g, text := &d.group, d.n.fields[key].str
	interval := time.Duration(g.AdvBase)*time.Second + time.Duration(min(g.AdvSkew, maxSkewSent))*time.Second/256
	switch {
	case beat < MinBeat:
		d.problem(key, "%q is out of range, allowed are \"0s\" (none) and \"%s\" to \"%s\"", text,
			durationText(MinBeat), durationText(MaxBeat))
	case beat%time.Microsecond != 0:
		d.problem(key, "%q is not a whole number of microseconds, such as \"1500us\"", text)
	case !d.bad["advbase"] && !d.bad["advskew"] && beat >= interval && interval > 0:
		d.problem(key, "%q is not less than the interval, which is %s (advbase seconds + advskew/256 s); leave it out",
			text, interval.Round(time.Microsecond))
	default:
		g.Beat = beat
	}
}

func checkNodeName(s *section, name string) {
	if why := nodeNameFault(name); why != "" {
		s.problem("name", "%s; allowed is one line of 1..%d bytes, or leave it out for the host's name", why, maxNodeName)
	}
}

func nodeNameFault(name string) string {
	if name == "" {
		return "is empty"
	}
	return textFault(name, maxNodeName)
}

// textFault refuses control characters, which would be commands to the terminal.
func textFault(s string, most int) string {
	switch {
	case len(s) > most:
		return "is " + strconv.Itoa(len(s)) + " bytes long"
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }):
		return "has a character that cannot be printed"
	}
	return ""
}

func (d *draft) checkPeers(items []item) {
	for _, it := range items {
		a, err := netip.ParseAddr(it.text)
		why := ""
		switch {
		case err != nil:
			why = "is not an address"
		case a.Is4In6():
			why = "is an IPv4-mapped IPv6 address"
		case a.Zone() != "" && !a.IsLinkLocalUnicast():
			why = "has a zone"
		case slices.Contains(d.group.Peers, a):
			why = "is given more than once"
		case slices.ContainsFunc(d.group.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }):
			why = "is one of this group's own addresses"
		case slices.ContainsFunc(d.group.Addresses, func(p netip.Prefix) bool { return IsBroadcast(a, p) }):
			why = "is the broadcast address of the network of this group's addresses"
		default:
			why = unicastFault(a)
		}
		if why != "" {
			d.r.problem(it.line, "peers", "%q %s; allowed is the unicast address of another node, without prefix length",
				it.text, why)
			continue
		}
		d.group.Peers = append(d.group.Peers, a)
	}
}

// path reads an absolute path.
func (s *section) path(key string, dst *string) bool {
	var p string
	if !s.str(key, &p) || !checkPath(s, key, p) {
		return false
	}
	*dst = filepath.Clean(p)
	return true
}

func checkPath(s *section, key, path string) bool {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) || filepath.Clean(path) == "/" {
		s.problem(key, "%q is not allowed; use an absolute path, one that begins with /", path)
		return false
	}
	return true
}

// validGroupName accepts what groupadd does, and more; "" means root only.
func validGroupName(name string) bool {
	return len(name) <= 32 && !strings.ContainsFunc(name, func(c rune) bool {
		return c == ':' || c == ',' || c == '/' || !unicode.IsPrint(c) || unicode.IsSpace(c)
	})
}

// listenFault returns why the text is not an address to listen on.
func listenFault(listen string) string {
	if listen == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "is not ADDRESS:PORT"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "has no port in 0..65535"
	}
	if host == "" || host == "localhost" {
		return ""
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return "has no address before the port"
	}
	return ""
}
