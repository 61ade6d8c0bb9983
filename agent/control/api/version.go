// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// Version of vipd and vipctl, and of the control API they speak. A build of anything but a release has a longer one,
// such as 0.2.0~git20261129134959.0123456789ab, which sorts before it.
//
// packaging/build.sh sets it, commit and built by the linker's -X, which needs variables. Nothing else writes to them.
var Version = "0.2.0"

var commit, built string

// VersionHeader carries the sender's version in requests and answers, so that each side can report a difference.
const VersionHeader = "Vipd-Version"

// Build describes what a binary was built from.
type Build struct {
	Version string `json:"version"`
	// Commit is empty if the binary was built outside a repository. It ends in -modified if the source was not the commit.
	Commit string `json:"commit,omitempty"`
	// Time is the commit's, since builds of one commit are the same bytes.
	Time      string `json:"time,omitempty"`
	GoVersion string `json:"go"`
}

// ReadBuild returns the build of the running binary.
func ReadBuild() Build {
	b := Build{Version: Version, Commit: commit, Time: built, GoVersion: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.complete(info.Settings)
	}
	return b
}

// complete adds what Go notes by itself in a binary of `go build` or `go install`.
func (b *Build) complete(settings []debug.BuildSetting) {
	noted := map[string]string{}
	for _, s := range settings {
		noted[s.Key] = s.Value
	}
	if b.Commit == "" && noted["vcs.revision"] != "" {
		b.Commit = noted["vcs.revision"][:min(len(noted["vcs.revision"]), 12)]
		if noted["vcs.modified"] == "true" {
			b.Commit += "-modified"
		}
	}
	b.Time = cmp.Or(b.Time, noted["vcs.time"])
}

// String returns one line, such as "0.2.0 (0123456789ab of 2026-11-29T13:49:59Z, go1.26.8)".
func (b Build) String() string {
	from := b.Commit
	if b.Commit != "" && b.Time != "" {
		from += " of " + b.Time
	}
	parts := slices.DeleteFunc([]string{from, b.GoVersion}, func(s string) bool { return s == "" })
	if len(parts) == 0 {
		return b.Version
	}
	return b.Version + " (" + strings.Join(parts, ", ") + ")"
}
