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
	k := &keepalived{
		r:       r,
		s:       &settings{tool: "keepalived", source: f.Name},
		scripts: map[string]*script{},
		tracked: map[string]string{},
	}
	statements := parse(r, f)
	for i := range statements { // scripts may follow the instances that track them
		if st := &statements[i]; st.key() == "vrrp_script" {
			k.script(st)
		}
	}
	for i := range statements { // sync groups may follow their instances
		if st := &statements[i]; st.key() == "vrrp_instance" {
			k.instance(st)
		}
	}
	for i := range statements {
		k.top(&statements[i])
	}
	k.nodeSettings()
	return r.finish(f.Name, k.s)
}

type keepalived struct {
	r         *reader
	s         *settings
	scripts   map[string]*script
	instances []*instance
	tracked   map[string]string // name of a check -> its source
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
	case "vrrp_instance", "vrrp_script": // read already
	case "global_defs":
		k.globals(st)
	case "vrrp_sync_group":
		k.syncGroup(st)
	case "virtual_server", "virtual_server_group", "local_address_group":
		k.r.note(st.at,
			"%s (load balancing) has no equivalent: keepalived can continue to do that, without its vrrp_instances", st.line())
	case "static_ipaddress", "static_routes", "static_rules", "track_file", "vrrp_track_file", "vrrp_track_process",
		"track_group", "bfd_instance", "garp_group", "linkbeat_use_polling":
		k.r.note(st.at, "%s has no equivalent", st.line())
		k.leftOut(st)
	default:
		k.r.note(st.at, "%s is unknown and was left out", st.line())
	}
}

// syncGroup converts what a group of instances tracks: in vipd checks apply to the node.
func (k *keepalived) syncGroup(st *statement) {
	k.r.note(st.at,
		"%s has no equivalent: groups move one by one in vipd. A lost link or a failing check demotes the whole node, so "+
			"its groups follow each other; to hand over by hand run `vipctl maintenance enter --wait`", st.line())
	in := &instance{group: &group{at: st.at}}
	for i := range st.block {
		switch s := &st.block[i]; s.key() {
		case "group": // its members
		case "track_script", "track_interface":
			k.track(in, s)
		default:
			k.unequal(in, s)
		}
	}
}

func (k *keepalived) globals(st *statement) {
	for i := range st.block {
		switch s := &st.block[i]; s.key() {
		case "router_id":
			if args := s.args(); len(args) == 1 && args[0] != "" && text(args[0]) {
				k.s.nodeName = args[0]
			} else {
				k.r.note(s.at, "%s cannot be a node name and was left out", s.line())
			}
		case "notification_email", "notification_email_from", "smtp_server", "smtp_connect_timeout", "smtp_alert",
			"smtp_alert_vrrp":
			k.r.note(s.at, "%s has no equivalent: use an alert on the metrics, or send mail from a hook", s.key())
		case "vrrp_mcast_group4", "vrrp_mcast_group6":
			k.r.note(s.at, "%s has no equivalent: CARP's multicast addresses are fixed; for unicast set peers", s.key())
		case "vrrp_startup_delay":
			k.r.note(s.at, "%s has no equivalent: see preempt_delay of [carp], which delays preemption after a start", s.line())
		case "vrrp_down_timer_adverts":
			k.downTimer(s)
		default:
			if !slices.Contains(ownWays(), s.key()) {
				k.r.note(s.at, "%s of global_defs has no equivalent in vipd and was left out", s.line())
				k.leftOut(s)
			}
		}
	}
}

// ownWays are settings of how keepalived runs and announces addresses. They mean nothing to vipd.
func ownWays() []string {
	return strings.Fields(`
		debug process_names use_symlink_paths random_seed enable_script_security script_user max_auto_priority umask
		vrrp_version version vrrp_strict strict_mode vrrp_check_unicast_src vrrp_skip_check_adv_addr skip_check_adv_addr
		vrrp_iptables vrrp_ipsets vrrp_nftables vrrp_garp_master_delay garp_master_delay vrrp_garp_master_repeat
		garp_master_repeat vrrp_garp_lower_prio_delay garp_lower_prio_delay vrrp_garp_lower_prio_repeat
		garp_lower_prio_repeat vrrp_garp_interval garp_interval vrrp_gna_interval gna_interval vrrp_min_garp
		vrrp_garp_extra_if vrrp_lower_prio_no_advert lower_prio_no_advert vrrp_higher_prio_send_advert
		higher_prio_send_advert vrrp_process_name checker_process_name bfd_process_name vrrp_priority vrrp_no_swap
		vrrp_rt_priority vrrp_cpu_affinity vrrp_rlimit_rttime vrrp_rlimit_rtime checker_priority checker_no_swap
		checker_rt_priority checker_cpu_affinity checker_rlimit_rttime bfd_priority bfd_no_swap bfd_rt_priority
		bfd_cpu_affinity bfd_rlimit_rttime vrrp_netlink_cmd_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force
		vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force vrrp_rx_bufs_policy vrrp_rx_bufs_multiplier
		netlink_rcv_bufs reload_time_file reload_file state preempt use_vmac vmac_xmit_base accept promote_secondaries
		native_ipv6`)
}

// downTimer is the number of silent intervals before a takeover, which is three in CARP.
func (k *keepalived) downTimer(st *statement) {
	if args := st.args(); len(args) != 1 || args[0] != "3" {
		k.r.note(st.at,
			"%s has no equivalent: in CARP a backup takes over after 3 intervals; dead_ratio of [carp] is the time after "+
				"which vipd itself stops answering", st.line())
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
	k.r.note(st.at,
		"%s: priority %d became advskew %d (255 - priority): in CARP the node with the shortest interval, advbase + "+
			"advskew/256 s, is MASTER", in.name(), in.priority, in.advskew)
	const mostSent = 240
	if in.advskew > mostSent {
		k.r.note(st.at,
			"%s: advskew above %d is sent as %d, so all priorities below %d are the same; raise the priorities of all nodes "+
				"first", in.name(), mostSent, mostSent, 255-mostSent)
	}
	k.r.note(st.at,
		"%s: VRRP has no password to convert, and CARP signs every advertisement: write one of at most %d bytes, the same "+
			"on all nodes, to %s", in.name(), maxPassword, in.passwordFile)
	k.instances = append(k.instances, in)
	k.s.groups = append(k.s.groups, in.group)
}

// setting converts one statement of an instance.
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
	case "down_timer_adverts":
		k.downTimer(st)
	default:
		if !slices.Contains(ownWays(), key) {
			k.unequal(in, st)
		}
	}
}

// unequal reports a statement without an equivalent, and what to do instead.
func (k *keepalived) unequal(in *instance, st *statement) {
	key := st.key()
	switch {
	case key == "notify" || strings.HasPrefix(key, "notify_"):
		k.r.note(st.at,
			"%s: vipd runs one program for all transitions, `hook` of the [[vip]], as HOOK %s FROM TO with the names of the "+
				"states; keepalived uses other arguments, so adapt %s", key, groupText(in), strings.Join(st.args(), " "))
	case key == "smtp_alert":
		k.r.note(st.at, "smtp_alert has no equivalent: use an alert on the metrics, or send mail from a hook")
	case key == "authentication":
		k.r.note(st.at, "authentication was left out: see the note on the password")
	case key == "dont_track_primary":
		k.r.note(st.at,
			"dont_track_primary has no equivalent: without a link a group is in INIT, and another node takes over")
	case key == "garp_master_refresh" || key == "garp_master_refresh_repeat":
		k.r.note(st.at,
			"%s has no equivalent: vipd announces the addresses after a takeover and after a conflict, not periodically", key)
	case key == "unicast_src_ip" || key == "mcast_src_ip":
		k.r.note(st.at,
			"%s has no equivalent: vipd advertises from the interface's first address that is not a virtual one", key)
	case key == "virtual_routes" || key == "virtual_rules":
		k.r.note(st.at, "%s has no equivalent: add them in a hook", key)
		k.leftOut(st)
	case key == "no_accept":
		k.r.note(st.at,
			"no_accept has no equivalent: the host of a MASTER has the address and accepts packets to it; filter them with "+
				"nftables")
	default:
		k.r.note(st.at, "%s has no equivalent and was left out", st.line())
		k.leftOut(st)
	}
}

// leftOut reports each line of a block that has no equivalent.
func (k *keepalived) leftOut(st *statement) {
	for i := range st.block {
		k.r.note(st.block[i].at, "%s: %s was left out", st.key(), st.block[i].line())
	}
}

func groupText(in *instance) string {
	if in.ifname == "" || in.vhid == 0 {
		return "GROUP"
	}
	return in.name()
}

// one returns the single argument of a statement.
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

// interval converts seconds or, in VRRP version 3, hundredths of a second.
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
		k.r.note(st.at, "advert_int %s became advbase 254, the maximum", word)
	case secs != math.Trunc(secs):
		k.r.note(st.at,
			"advert_int %s became advbase %d: for intervals below a second set advbase = 0 and advskew to the interval in "+
				"1/256 s, the shortest on the node that should be MASTER", word, in.advbase)
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

// addresses converts addresses with prefix length and arguments of ip(8).
func (k *keepalived) addresses(in *instance, st *statement) {
	for i := range st.block {
		a := &st.block[i]
		p, err := netip.ParsePrefix(a.key())
		if err != nil {
			addr, addrErr := netip.ParseAddr(a.key())
			if addrErr != nil || addr.Zone() != "" {
				k.r.problem(a.at, "%q is not an address", a.key())
				continue
			}
			p = host(addr)
			k.r.note(a.at, "%s has no prefix length, which means /%d: use that of its network if the host has no address in it",
				addr, p.Bits())
		}
		args := a.args()
		if dev := slices.Index(args, "dev"); dev >= 0 && dev+1 < len(args) && args[dev+1] != in.ifname && in.ifname != "" {
			k.r.note(a.at,
				"%s is on %s, not on the instance's interface, and was left out: in vipd every address is on its group's "+
					"interface; add a [[vip]] for it", a.key(), args[dev+1])
			continue
		}
		if rest := slices.DeleteFunc(slices.Clone(args), func(w string) bool {
			return w == "dev" || w == in.ifname ||
				w == "no_track"
		}); len(rest) > 0 {
			k.r.note(a.at, "%s of %s has no equivalent: vipd sets scope, label and broadcast address itself",
				strings.Join(rest, " "), p.Addr())
		}
		in.addAddress(k.r, a.at, p)
	}
	if st.key() == "virtual_ipaddress_excluded" {
		k.r.note(st.at,
			"virtual_ipaddress_excluded: in vipd all addresses of a group are signed, so the list must be the same on all nodes")
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
			k.r.problem(p.at, "%q is not a valid peer address", p.key())
		case !slices.Contains(in.peers, a):
			in.peers = append(in.peers, a)
		}
		if args := p.args(); len(args) > 0 {
			k.r.note(p.at, "%s of peer %s has no equivalent: see peer_ttl of the [[vip]]", strings.Join(args, " "), p.key())
		}
	}
}

// nodeSettings converts the settings of instances that apply to the whole node in vipd.
func (k *keepalived) nodeSettings() {
	keeping := slices.DeleteFunc(slices.Clone(k.instances), func(in *instance) bool { return !in.nopreempt })
	if n := len(keeping); n > 0 {
		preempt := n < len(k.instances)
		k.s.preempt = &preempt
		if preempt {
			k.r.note(keeping[0].at,
				"nopreempt applies to the whole node in vipd ([carp] preempt), and not all instances have it: it was left out")
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
		k.r.note(k.instances[0].at, "preempt_delay applies to the whole node in vipd, and only after its start")
	}
	for name, sc := range k.scripts {
		if !sc.used {
			k.r.note(sc.at, "vrrp_script %s is not tracked by any instance and was left out", name)
		}
	}
}
