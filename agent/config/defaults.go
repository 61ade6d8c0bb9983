// SPDX-License-Identifier: Apache-2.0

package config

import "time"

// DefaultPath is where vipd looks for its config.
const DefaultPath = "/etc/vipd/vipd.toml"

// Default returns the config of an empty file, but for the node's name. Every
// default is here.
func Default() *Config {
	return &Config{
		Node: Node{
			StateDir:   "/var/lib/vipd",
			RuntimeDir: "/run/vipd",
			BPFDir:     "/sys/fs/bpf/vipd",
		},
		Control: Control{Socket: "/run/vipd/vipd.sock", Group: "vipd"},
		HTTP:    HTTP{Listen: "127.0.0.1:9112"},
		Carp: Carp{
			Preempt:         true,
			DeadRatio:       3,
			SendDemote:      true,
			IfdownDemotion:  240,
			SenderrDemotion: 240,
			DSCP:            56,
			MasterDown:      MasterDownFreeBSD,
		},
		XDP:    XDP{Mode: ModeAuto},
		Record: Record{Memory: 64, Incidents: 64, Save: true},
	}
}

// defaultGroup is a [[vip]] of which nothing was said.
func defaultGroup() Group {
	return Group{AdvBase: 1, HookTimeout: 30 * time.Second, Digest: DigestAll, PeerTTL: PeerTTLAny, Replay: ReplayOff}
}

// defaultCheck is a [[check]] of which nothing was said. A timeout that was not
// written is never longer than the interval.
func defaultCheck() Check {
	return Check{Interval: time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Demotion: 240}
}
