// SPDX-License-Identifier: Apache-2.0

package config

import "path/filepath"

// Parse checks the bytes of a config file; problems call it name. It returns what [Load] does.
func Parse(name string, data []byte, opts Options) (*Config, []Problem, error) {
	opts = opts.withDefaults()
	r := &report{file: name}
	root := buildTree(r, data)
	if root == nil {
		warnings, err := r.result()
		return nil, warnings, err
	}
	cfg := Default()
	cfg.Source = name
	top := newSection(r, "", root)
	decodeNode(top, cfg, opts)
	decodeControl(top, cfg)
	decodeHTTP(top, cfg, opts)
	decodeWeb(top, cfg)
	decodeCarp(top, cfg)
	decodeXDP(top, cfg)
	decodeRecord(top, cfg)
	var drafts []*draft
	for _, s := range top.tables("vip") {
		drafts = append(drafts, decodeGroup(s, opts))
	}
	cfg.Checks = decodeChecks(top, drafts, opts)
	top.done()
	if len(r.problems) == 0 {
		checkDocument(r, data)
	}
	if len(drafts) == 0 && !top.tried("vip") {
		r.warn(0, "", "no [[vip]] is configured: vipd has nothing to do")
	}
	return finish(r, cfg, drafts)
}

// finish checks all groups together and returns the config if there was no problem.
func finish(r *report, cfg *Config, drafts []*draft) (*Config, []Problem, error) {
	checkTogether(r, drafts)
	warnings, err := r.result()
	if err != nil {
		return nil, warnings, err
	}
	for _, d := range drafts {
		cfg.Groups = append(cfg.Groups, d.group)
	}
	return cfg, warnings, nil
}

func decodeNode(top *section, cfg *Config, opts Options) {
	n := &cfg.Node
	if s := top.table("node"); s != nil {
		if s.str("name", &n.Name) {
			checkNodeName(s, n.Name)
		}
		s.path("state_dir", &n.StateDir)
		s.path("runtime_dir", &n.RuntimeDir)
		s.path("bpf_dir", &n.BPFDir)
		if n.StateDir == n.RuntimeDir {
			s.warn("runtime_dir", "is the same as state_dir, so either `vipctl disable` survives a reboot or maintenance "+
				"mode does not; set runtime_dir to a directory under /run")
		}
		s.done()
		if s.tried("name") {
			return
		}
	}
	name, err := opts.Hostname()
	if err != nil || name == "" {
		top.r.problem(0, "name", "the host's name is unknown (%v); set name in [node]", err)
		return
	}
	if why := nodeNameFault(name); why != "" {
		top.r.problem(0, "name", "the host's name %s; set name in [node]", why)
		return
	}
	n.Name = name
}

func decodeControl(top *section, cfg *Config) {
	s := top.table("control")
	if s == nil {
		return
	}
	if s.str("socket", &cfg.Control.Socket) {
		checkSocketPath(s, "socket", cfg.Control.Socket)
		cfg.Control.Socket = filepath.Clean(cfg.Control.Socket)
	}
	if s.str("group", &cfg.Control.Group) && !validGroupName(cfg.Control.Group) {
		s.problem("group", "%q is not a valid group name; use one from /etc/group, or \"\" for root only", cfg.Control.Group)
	}
	s.done()
}

func decodeCarp(top *section, cfg *Config) {
	s := top.table("carp")
	if s == nil {
		return
	}
	c := &cfg.Carp
	s.boolean("preempt", &c.Preempt)
	s.float("dead_ratio", 1, 3, &c.DeadRatio)
	s.boolean("send_demote", &c.SendDemote)
	s.integer("ifdown_demotion", 0, maxDemotion, &c.IfdownDemotion)
	s.integer("senderr_demotion", 0, maxDemotion, &c.SenderrDemotion)
	s.octet("dscp", 0, 63, &c.DSCP)
	s.oneOf("master_down", &c.MasterDown, MasterDownFreeBSD, MasterDownOpenBSD)
	s.duration("preempt_delay", 0, maxPreemptDelay, &c.PreemptDelay)
	s.duration("claim_delay", 0, maxClaimDelay, &c.ClaimDelay)
	decodePeerMemory(s, c)
	s.done()
}

func decodePeerMemory(s *section, c *Carp) {
	const key = "peer_memory"
	d := c.PeerMemory
	if !s.duration(key, 0, maxPeerMemory, &d) {
		return
	}
	if d != 0 && d < minPeerMemory {
		s.problem(key, "%q is out of range, allowed are \"0\" (for ever) and \"%s\" to \"%s\"", s.n.fields[key].str,
			durationText(minPeerMemory), durationText(maxPeerMemory))
		return
	}
	c.PeerMemory = d
}

func decodeXDP(top *section, cfg *Config) {
	s := top.table("xdp")
	if s == nil {
		return
	}
	s.oneOf("mode", &cfg.XDP.Mode, ModeAuto, ModeNative, ModeTC, ModeGeneric)
	s.done()
}

func decodeRecord(top *section, cfg *Config) {
	s := top.table("record")
	if s == nil {
		return
	}
	s.integer("memory", 1, maxRecordMemory, &cfg.Record.Memory)
	s.integer("incidents", 1, maxIncidents, &cfg.Record.Incidents)
	s.boolean("save", &cfg.Record.Save)
	s.done()
}
