// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Keepalived converts the VRRP part of keepalived.conf. The error is an [*Error].
func Keepalived(f File, opts Options) (*Result, error) {
	r := newReader(opts)
	k := &keepalived{r: r, s: &settings{tool: "keepalived", source: f.Name}, scripts: map[string]*script{}, tracked: map[string]string{}}
	statements := parse(r, f)
	for i := range statements { // scripts may stand below the instances that track them
		if st := &statements[i]; st.key() == "vrrp_script" {
			k.script(st)
		}
	}
	for i := range statements {
		k.top(&statements[i])
	}
	k.finish()
	return r.finish(f.Name, k.s)
}

type keepalived struct {
	r         *reader
	s         *settings
	scripts   map[string]*script
	instances []*instance
	tracked   map[string]string // name of a check -> what it is made of
}

// instance is one vrrp_instance.
type instance struct {
	*group
	title     string
	priority  int
	nopreempt bool
	delay     time.Duration
}

func (k *keepalived) top(st *statement) {
	switch key := st.key(); key {
	case "vrrp_instance":
		k.instance(st)
	case "vrrp_script": // read before
	case "global_defs":
		k.globals(st)
	case "vrrp_sync_group":
		k.r.note(st.at, "%s has no equal: groups move one by one in vipd. A link that is lost and a check that fails demote the whole node, so its groups follow each other; hand over by hand with `vipctl maintenance enter --wait`", st.line())
	case "virtual_server", "virtual_server_group", "local_address_group":
		k.r.note(st.at, "%s (load balancing) has no equal: keepalived can go on doing that, without its vrrp_instances", st.line())
	case "static_ipaddress", "static_routes", "static_rules", "track_file", "vrrp_track_file", "vrrp_track_process", "track_group", "bfd_instance", "garp_group", "linkbeat_use_polling":
		k.r.note(st.at, "%s has no equal", st.line())
	default:
		k.r.note(st.at, "%s is not known here and was left out", st.line())
	}
}

func (k *keepalived) globals(st *statement) {
	for i := range st.block {
		switch s := &st.block[i]; s.key() {
		case "router_id":
			if args := s.args(); len(args) == 1 && args[0] != "" && text(args[0]) {
				k.s.nodeName = args[0]
			}
		case "notification_email", "notification_email_from", "smtp_server", "smtp_connect_timeout", "smtp_alert", "smtp_alert_vrrp":
			k.r.note(s.at, "%s has no equal: alert on the metrics, or send mail from a hook", s.key())
		case "vrrp_mcast_group4", "vrrp_mcast_group6":
			k.r.note(s.at, "%s has no equal: CARP's multicast addresses are fixed, as peers there is unicast", s.key())
		default: // how keepalived runs, which is not vipd's way
		}
	}
}

func (k *keepalived) instance(st *statement) {
	in := &instance{group: &group{at: st.at, advbase: 1}, title: strings.Join(st.args(), " "), priority: 100}
	before := len(k.r.problems)
	for i := range st.block {
		k.setting(in, &st.block[i])
	}
	switch {
	case in.ifname == "":
		k.r.problem(st.at, "vrrp_instance %s has no interface", in.title)
	case in.vhid == 0 && len(k.r.problems) == before:
		k.r.problem(st.at, "vrrp_instance %s has no virtual_router_id", in.title)
	case len(in.addresses) == 0 && len(k.r.problems) == before:
		k.r.problem(st.at, "vrrp_instance %s has no virtual_ipaddress", in.title)
	}
	in.advskew = min(255-in.priority, 254)
	if text(in.title) {
		in.description = in.title
	}
	in.passwordFile = k.r.keyFile(in.group)
	if len(k.r.problems) > before {
		return
	}
	k.r.note(st.at, "%s: priority %d became advskew %d (255 - priority): with CARP the shortest interval, advbase + advskew/256 s, is MASTER", in.name(), in.priority, in.advskew)
	const mostSent = 240
	if in.advskew > mostSent {
		k.r.note(st.at, "%s: advskew above %d is sent as %d, so priorities below %d are all the same; raise the priorities of all nodes first", in.name(), mostSent, mostSent, 255-mostSent)
	}
	k.r.note(st.at, "%s: VRRP has no password that could be taken over, and CARP signs every advert: write one, the same on all nodes and of at most %d bytes, into %s", in.name(), maxPassword, in.passwordFile)
	k.instances = append(k.instances, in)
	k.s.groups = append(k.s.groups, in.group)
}

// setting is one statement of an instance.
func (k *keepalived) setting(in *instance, st *statement) {
	switch key := st.key(); key {
	case "interface":
		if name, ok := k.one(st); ok {
			if err := checkInterface(name); err != nil {
				k.r.problem(st.at, "%v", err)
			}
			in.ifname = name
		}
	case "virtual_router_id":
		k.integer(st, 1, 255, &in.vhid)
	case "priority":
		k.integer(st, 1, 255, &in.priority)
	case "advert_int":
		k.interval(in, st)
	case "virtual_ipaddress", "virtual_ipaddress_excluded":
		k.addresses(in, st)
	case "unicast_peer":
		k.peers(in, st)
	case "nopreempt":
		in.nopreempt = true
	case "preempt_delay":
		k.delay(in, st)
	case "track_script", "track_interface":
		k.track(in, st)
	case "use_vmac", "state", "preempt", "version", "debug", "accept", "skip_check_adv_addr", "dont_track_primary", "promote_secondaries",
		"garp_master_delay", "garp_master_repeat", "garp_master_refresh", "garp_master_refresh_repeat", "garp_lower_prio_delay", "garp_lower_prio_repeat",
		"garp_interval", "gna_interval", "down_timer_adverts", "strict_mode", "vmac_xmit_base", "higher_prio_send_advert", "lower_prio_no_advert":
		// Done by vipd in its own way, or of VRRP alone.
	default:
		k.unequal(in, st)
	}
}

// unequal tells of a statement that vipd has nothing for, and what to do instead.
func (k *keepalived) unequal(in *instance, st *statement) {
	key := st.key()
	switch {
	case key == "notify" || strings.HasPrefix(key, "notify_"):
		k.r.note(st.at, "%s: vipd runs one program for all transitions, `hook` of the [[vip]], as HOOK %s FROM TO with the states as words; keepalived gave it other arguments, so look into %s", key, groupText(in), strings.Join(st.args(), " "))
	case key == "smtp_alert":
		k.r.note(st.at, "smtp_alert has no equal: alert on the metrics, or send mail from a hook")
	case key == "authentication":
		// Told with the password.
	case key == "unicast_src_ip" || key == "mcast_src_ip":
		k.r.note(st.at, "%s has no equal: vipd advertises from the interface's first address that is no virtual one", key)
	case key == "virtual_routes" || key == "virtual_rules":
		k.r.note(st.at, "%s has no equal: set them in a hook", key)
	case key == "no_accept":
		k.r.note(st.at, "no_accept has no equal: the host of a MASTER has the address and accepts what comes to it; filter it with nftables")
	default:
		k.r.note(st.at, "%s has no equal and was left out", st.line())
	}
}

func groupText(in *instance) string {
	if in.ifname == "" || in.vhid == 0 {
		return "GROUP"
	}
	return in.name()
}

// one is the only argument of a statement.
func (k *keepalived) one(st *statement) (string, bool) {
	if args := st.args(); len(args) == 1 {
		return args[0], true
	}
	k.r.problem(st.at, "%s needs one value", st.key())
	return "", false
}

func (k *keepalived) integer(st *statement, lo, hi int, dst *int) {
	word, ok := k.one(st)
	if !ok {
		return
	}
	n, err := strconv.Atoi(word)
	if err != nil || n < lo || n > hi {
		k.r.problem(st.at, "%s is %q; allowed is %d..%d", st.key(), word, lo, hi)
		return
	}
	*dst = n
}

// interval: VRRP's is of seconds or, in version 3, of hundredths.
func (k *keepalived) interval(in *instance, st *statement) {
	word, ok := k.one(st)
	if !ok {
		return
	}
	secs, err := strconv.ParseFloat(word, 64)
	if err != nil || !(secs >= 0.01 && secs <= 255) {
		k.r.problem(st.at, "advert_int is %q; allowed is 0.01..255 s", word)
		return
	}
	in.advbase = min(int(math.Ceil(secs)), 254)
	switch {
	case secs > 254:
		k.r.note(st.at, "advert_int %s became advbase 254, the most there is", word)
	case secs != math.Trunc(secs):
		k.r.note(st.at, "advert_int %s became advbase %d: for intervals below a second write advbase = 0 and as advskew the interval in 1/256 s, the shortest on the node that shall be MASTER", word, in.advbase)
	}
}

func (k *keepalived) delay(in *instance, st *statement) {
	word, ok := k.one(st)
	if !ok {
		return
	}
	secs, err := strconv.ParseFloat(word, 64)
	if err != nil || !(secs >= 0 && secs <= 1000) {
		k.r.problem(st.at, "preempt_delay is %q; allowed is 0..1000 s", word)
		return
	}
	in.delay = time.Duration(math.Round(secs*1000)) * time.Millisecond
}

// addresses: each with its prefix length, and things that belong to the command ip.
func (k *keepalived) addresses(in *instance, st *statement) {
	for i := range st.block {
		a := &st.block[i]
		p, err := netip.ParsePrefix(a.key())
		if err != nil {
			addr, addrErr := netip.ParseAddr(a.key())
			if addrErr != nil || addr.Zone() != "" {
				k.r.problem(a.at, "%q is no address", a.key())
				continue
			}
			p = host(addr)
			k.r.note(a.at, "%s has no prefix length, which means /%d: write that of its network if the host has no address in it", addr, p.Bits())
		}
		args := a.args()
		if dev := slices.Index(args, "dev"); dev >= 0 && dev+1 < len(args) && args[dev+1] != in.ifname && in.ifname != "" {
			k.r.note(a.at, "%s is on %s, not on the instance's interface, and was left out: in vipd every address is on its group's interface; write a [[vip]] for it", a.key(), args[dev+1])
			continue
		}
		if rest := slices.DeleteFunc(slices.Clone(args), func(w string) bool { return w == "dev" || w == in.ifname || w == "no_track" }); len(rest) > 0 {
			k.r.note(a.at, "%s of %s has no equal: vipd chooses scope, label and broadcast address itself", strings.Join(rest, " "), p.Addr())
		}
		in.addAddress(k.r, a.at, p)
	}
	if st.key() == "virtual_ipaddress_excluded" {
		k.r.note(st.at, "virtual_ipaddress_excluded: in vipd all addresses of a group are signed, so the list must be the same on all nodes")
	}
}

func (k *keepalived) peers(in *instance, st *statement) {
	for i := range st.block {
		p := &st.block[i]
		a, err := netip.ParseAddr(p.key())
		if err == nil {
			err = unicast(a)
		}
		switch {
		case err != nil || a.Zone() != "" && !a.IsLinkLocalUnicast():
			k.r.problem(p.at, "%q is no address of a peer", p.key())
		case !slices.Contains(in.peers, a):
			in.peers = append(in.peers, a)
		}
	}
}

// finish settles what is for the whole node in vipd.
func (k *keepalived) finish() {
	keeping := slices.DeleteFunc(slices.Clone(k.instances), func(in *instance) bool { return !in.nopreempt })
	if n := len(keeping); n > 0 {
		preempt := n < len(k.instances)
		k.s.preempt = &preempt
		if preempt {
			k.r.note(keeping[0].at, "nopreempt is for the whole node in vipd ([carp] preempt), and not all instances have it: it is left out")
		}
	}
	for _, in := range k.instances {
		for _, peer := range in.peers {
			if slices.ContainsFunc(in.addresses, func(p netip.Prefix) bool { return p.Addr() == peer }) {
				k.r.problem(in.at, "%s is a peer and a virtual address", peer)
			}
		}
		if in.delay > k.s.preemptDelay {
			k.s.preemptDelay = in.delay
		}
	}
	if k.s.preemptDelay > 0 {
		k.r.note(k.instances[0].at, "preempt_delay is for the whole node in vipd, and counts from its start only")
	}
	for name, sc := range k.scripts {
		if !sc.used {
			k.r.note(sc.at, "vrrp_script %s is tracked by no instance and was left out", name)
		}
	}
	k.r.sortNotes()
}
