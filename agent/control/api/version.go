// SPDX-License-Identifier: Apache-2.0

package api

import (
	"runtime"
	"runtime/debug"
)

// Version of vipd and vipctl, and of the control API they speak.
const Version = "0.1.0"

// VersionHeader carries the sender's version in requests and answers, so that each side can report a difference.
const VersionHeader = "Vipd-Version"

// Build describes what this binary was built from. Revision is empty if it was built outside a repository.
type Build struct {
	Version   string
	GoVersion string
	Revision  string
	Modified  bool
}

// ReadBuild returns the build of the running binary.
func ReadBuild() Build {
	b := Build{Version: Version, GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value[:min(len(s.Value), 12)]
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String returns one line, such as "0.1.0 (go1.26.8, 0123456789ab)".
func (b Build) String() string {
	s := b.Version + " (" + b.GoVersion
	if b.Revision != "" {
		s += ", " + b.Revision
		if b.Modified {
			s += ", modified"
		}
	}
	return s + ")"
}
