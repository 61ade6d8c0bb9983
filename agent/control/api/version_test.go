// SPDX-License-Identifier: Apache-2.0

package api

import (
	"runtime/debug"
	"testing"
)

func TestBuildWithoutStamp(t *testing.T) {
	t.Parallel()
	noted := []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"},
		{Key: "vcs.time", Value: "2026-11-29T13:49:59Z"},
		{Key: "vcs.modified", Value: "true"},
	}
	var b Build
	b.complete(noted)
	if b.Commit != "0123456789ab-modified" || b.Time != "2026-11-29T13:49:59Z" {
		t.Errorf("%+v", b)
	}
	stamped := Build{Commit: "89ab", Time: "2026-01-01T00:00:00Z"}
	b = stamped
	b.complete(noted)
	if b != stamped {
		t.Errorf("the stamp of packaging/build.sh is overwritten: %+v", b)
	}
	b = Build{Version: "1"}
	b.complete(nil)
	if b != (Build{Version: "1"}) {
		t.Errorf("without a repository: %+v", b)
	}
}
