// SPDX-License-Identifier: Apache-2.0

package config

import "time"

// DefaultPath is the default path of the config.
const DefaultPath = "/etc/vipd/vipd.toml"

// Default returns the config of an empty file, without the node's name.
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
			PeerMemory:      24 * time.Hour,
		},
		XDP:    XDP{Mode: ModeAuto},
		Record: Record{Memory: 64, Incidents: 64, Save: true},
	}
}

// defaultGroup is a [[vip]] without keys.
func defaultGroup() Group {
	return Group{AdvBase: 1, HookTimeout: 30 * time.Second, Digest: DigestAll, PeerTTL: PeerTTLAny, Replay: ReplayOff}
}

// defaultCheck is a [[check]] without keys. The default timeout is never longer than the
// interval.
func defaultCheck() Check {
	return Check{Interval: time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Demotion: 240}
}
