// SPDX-License-Identifier: Apache-2.0

package config

// Parse checks the bytes of a config file; name is what problems call it. It returns
// as [Load] does.
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
	checks := decodeChecks(top)
	top.done()
	if len(r.problems) == 0 {
		checkDocument(r, data)
	}
	if len(drafts) == 0 && !top.tried("vip") {
		r.warn(0, "", "no [[vip]] is configured: vipd runs and has nothing to do")
	}
	cfg.Checks = checks
	return finish(r, cfg, drafts)
}

// finish does the checks that need all groups, and hands out the config if there was
// no problem.
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
			s.r.warn(s.line("runtime_dir"), "runtime_dir",
				"is the same as state_dir, so `vipctl disable` survives a reboot or maintenance mode does not; let runtime_dir be under /run")
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
	n.Name = name
}

func decodeControl(top *section, cfg *Config) {
	s := top.table("control")
	if s == nil {
		return
	}
	if s.path("socket", &cfg.Control.Socket) && len(cfg.Control.Socket) > maxSocketPath {
		s.r.problem(s.line("socket"), "socket", "is %d bytes long, a unix socket's path may have at most %d", len(cfg.Control.Socket), maxSocketPath)
	}
	if s.str("group", &cfg.Control.Group) && !validGroupName(cfg.Control.Group) {
		s.r.problem(s.line("group"), "group", "%q is no name of a group; allowed is a group of /etc/group, or \"\" for root only", cfg.Control.Group)
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
	s.done()
}

func decodeXDP(top *section, cfg *Config) {
	s := top.table("xdp")
	if s == nil {
		return
	}
	s.oneOf("mode", &cfg.XDP.Mode, ModeAuto, ModeNative, ModeGeneric)
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
