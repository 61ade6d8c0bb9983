// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Types of [Check.Type].
const (
	CheckInterface = "interface"
	CheckRoute     = "route"
	CheckCommand   = "command"
	CheckTCP       = "tcp"
	CheckICMP      = "icmp"
	CheckARP       = "arp"
	CheckHTTP      = "http"
)

// Check is one [[check]]: its target and the demotion while it fails.
type Check struct {
	// Name is unique, of a-z, 0-9 and -, at most 63 bytes.
	Name string
	// Type defines what Target is: a name for interface, a prefix for route, HOST:PORT for
	// tcp, an address for icmp and arp, a URL for http, unused for command.
	Type   string
	Target string
	// HTTP is for type http.
	HTTP HTTPCheck
	// Command is the absolute path of the program and its arguments; it runs without a shell.
	Command []string
	// Interface is where icmp and arp send; empty means the one that the routes select.
	Interface string
	// Interval is 100 ms..1 h; Timeout is 10 ms..Interval.
	Interval, Timeout time.Duration
	// Rise and Fall are the consecutive results that change the verdict, 1..255.
	Rise, Fall int
	// Demotion is in units of advskew, 1..255.
	Demotion int
}

// Equal compares all fields.
func (c Check) Equal(other Check) bool {
	return slices.Equal(c.Command, other.Command) && c.HTTP.equal(&other.HTTP) &&
		c.Name == other.Name && c.Type == other.Type && c.Target == other.Target && c.Interface == other.Interface &&
		c.Interval == other.Interval && c.Timeout == other.Timeout &&
		c.Rise == other.Rise && c.Fall == other.Fall && c.Demotion == other.Demotion
}

const (
	minCheckInterval = 100 * time.Millisecond
	maxCheckInterval = time.Hour
	minCheckTimeout  = 10 * time.Millisecond
	// maxChecks limits the processes and sockets of checks.
	maxChecks    = 256
	maxCheckName = 63
)

func checkTypes() []string {
	return []string{CheckInterface, CheckRoute, CheckCommand, CheckTCP, CheckICMP, CheckARP, CheckHTTP}
}

func decodeChecks(top *section, drafts []*draft, opts Options) []Check {
	tables := top.tables("check")
	lines := map[string]int{}
	var out []Check
	for _, s := range tables {
		c := decodeCheck(s, opts)
		checkSubject(s, &c, drafts, opts)
		if first, ok := lines[c.Name]; ok && c.Name != "" {
			s.problem("name", "%q is already the [[check]] in line %d; allowed is each name once", c.Name, first)
		} else {
			lines[c.Name] = s.n.line
		}
		out = append(out, c)
	}
	if len(tables) > maxChecks {
		top.r.problem(tables[maxChecks].n.line, "check", "%d checks are configured, allowed are %d", len(tables), maxChecks)
	}
	return out
}

func decodeCheck(s *section, opts Options) Check {
	c := defaultCheck()
	if s.str("name", &c.Name) && !validCheckName(c.Name) {
		s.problem("name", "%q is not allowed; allowed are 1..%d of a-z, 0-9 and -", c.Name, maxCheckName)
	} else if !s.tried("name") {
		s.problem("name", "missing in this [[check]]; it names the demotion check:NAME in the status")
	}
	hasType := s.oneOf("type", &c.Type, checkTypes()...)
	if !s.tried("type") {
		s.problem("type", "missing in this [[check]]; allowed are %s", quotedList(checkTypes()))
	}
	hasTarget := s.str("target", &c.Target)
	decodeHTTPCheck(s, &c, hasType)
	for _, it := range s.list("command", "strings, such as [\"/usr/local/bin/check\", \"argument\"]") {
		c.Command = append(c.Command, it.text)
	}
	hasInterface := s.str("interface", &c.Interface)
	if hasType {
		checkTarget(s, &c, hasTarget, hasInterface)
	}
	if c.Type == CheckCommand && len(c.Command) > 0 && filepath.IsAbs(c.Command[0]) {
		warnCommand(s, "command", c.Command[0], opts)
	}
	hasInterval := s.duration("interval", minCheckInterval, maxCheckInterval, &c.Interval)
	switch {
	case !s.duration("timeout", minCheckTimeout, maxCheckInterval, &c.Timeout):
		c.Timeout = min(c.Timeout, c.Interval)
	case c.Timeout > c.Interval && (hasInterval || !s.tried("interval")):
		s.problem("timeout", "%q is longer than the interval of %s; allowed is up to the interval, "+
			"since one run ends before the next begins", durationText(c.Timeout), durationText(c.Interval))
	}
	s.integer("rise", 1, 255, &c.Rise)
	s.integer("fall", 1, 255, &c.Fall)
	s.integer("demotion", 1, maxDemotion, &c.Demotion)
	s.done()
	return c
}

func validCheckName(name string) bool {
	return name != "" && len(name) <= maxCheckName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// checkTarget checks target, command and interface by the type.
func checkTarget(s *section, c *Check, hasTarget, hasInterface bool) {
	if c.Type == CheckCommand {
		if s.tried("target") {
			s.problem("target", "is not for type \"command\"; put the program and its arguments into command")
		}
		checkCommand(s, c)
	} else {
		if s.tried("command") {
			s.problem("command", "is for type \"command\" only; leave it out")
		}
		allowed := targetAllowed(c.Type)
		if !s.tried("target") {
			s.problem("target", "missing in this [[check]]; %s", allowed)
		} else if why := targetFault(c, hasTarget); why != "" {
			s.problem("target", "%q %s; %s", c.Target, why, allowed)
		}
	}
	switch {
	case s.tried("interface") && c.Type != CheckICMP && c.Type != CheckARP:
		s.problem("interface", "is for the types \"icmp\" and \"arp\" only; leave it out")
	case hasInterface:
		if why := interfaceFault(c.Interface); why != "" {
			s.problem("interface", "%q %s; %s", c.Interface, why, allowedInterface())
		}
	case c.Type == CheckICMP && needsInterface(c.Target) && !s.tried("interface"):
		s.problem("target", "%q is link-local; set the interface with the key interface", c.Target)
	}
}

func needsInterface(target string) bool {
	a, err := netip.ParseAddr(target)
	return err == nil && isLinkLocal6(a) && a.Zone() == ""
}

func targetAllowed(kind string) string {
	switch kind {
	case CheckInterface:
		return allowedInterface()
	case CheckRoute:
		return "allowed is a prefix of the main routing table, such as \"0.0.0.0/0\" or \"2001:db8::/32\""
	case CheckTCP:
		return "allowed is HOST:PORT, such as \"192.0.2.1:443\" or \"[2001:db8::1]:443\""
	case CheckHTTP:
		return "allowed is a URL, such as \"https://127.0.0.1:6443/livez\""
	case CheckARP:
		return "allowed is an IPv4 address, such as \"192.0.2.1\""
	default:
		return "allowed is a unicast address, such as \"192.0.2.1\""
	}
}

// targetFault returns why the type cannot have the target, unless the value's type is wrong,
// which is already reported.
func targetFault(c *Check, read bool) string {
	if !read {
		return ""
	}
	switch c.Type {
	case CheckInterface:
		return interfaceFault(c.Target)
	case CheckRoute:
		p, err := netip.ParsePrefix(c.Target)
		switch {
		case err != nil:
			return "is not a prefix"
		case p.Addr().Is4In6():
			return "is an IPv4-mapped IPv6 address"
		case p != p.Masked():
			return "has bits beyond its prefix length, the network is " + p.Masked().String()
		}
		return ""
	case CheckTCP:
		return hostPortFault(c.Target)
	case CheckHTTP:
		return urlFault(c.Target)
	}
	a, err := netip.ParseAddr(c.Target)
	switch {
	case err != nil:
		return "is not an address"
	case a.Zone() != "":
		return "has a zone, set the interface with the key interface"
	case a.Is4In6():
		return "is an IPv4-mapped IPv6 address"
	case c.Type == CheckARP && !a.Is4():
		return "is not an IPv4 address, and ARP has no others"
	case a.IsLoopback() && c.Type == CheckICMP:
		return ""
	}
	return unicastFault(a)
}

func hostPortFault(target string) string {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return "is not HOST:PORT"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "has no port in 1..65535"
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	if host == "" || len(host) > 253 || strings.ContainsFunc(host, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return "has no host before the port"
	}
	return ""
}

func checkCommand(s *section, c *Check) {
	const (
		key     = "command"
		example = "; set the program and its arguments, such as [\"/usr/local/bin/check\", \"argument\"]"
	)
	switch {
	case !s.tried(key):
		s.problem(key, "missing in this [[check]]"+example)
	case s.bad[key]:
	case len(c.Command) == 0:
		s.problem(key, "is empty"+example)
	case !filepath.IsAbs(c.Command[0]):
		s.problem(key, "%q is not allowed as the program; use an absolute path, one that begins with /: "+
			"no shell searches for it", c.Command[0])
	case slices.ContainsFunc(c.Command, func(a string) bool { return strings.ContainsRune(a, 0) }):
		s.problem(key, "has a zero byte, which no argument can have")
	}
}
