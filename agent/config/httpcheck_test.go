// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func httpConfig(lines string) string {
	return vip + "[[check]]\nname = \"a\"\ntype = \"http\"\n" + lines + "\n"
}

func TestHTTPCheckStatus(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status, text string
		good, bad    []int
	}{
		{"", "200-399", []int{200, 204, 302, 399}, []int{400, 503}},
		{`status = "200"`, "200", []int{200}, []int{201, 301}},
		{`status = "200, 401-403"`, "200,401-403", []int{200, 401, 403}, []int{404, 201}},
	} {
		cfg, warnings, err := parseText(httpConfig("target = \"https://127.0.0.1:6443/livez\"\n" + tt.status))
		if err != nil || len(warnings) > 0 {
			t.Fatal(tt.status, warnings, err)
		}
		h := &cfg.Checks[0].HTTP
		if h.StatusText() != tt.text {
			t.Errorf("%s: %s", tt.status, h.StatusText())
		}
		for _, s := range tt.good {
			if !h.Accepts(s) {
				t.Errorf("%s refuses %d", tt.text, s)
			}
		}
		for _, s := range tt.bad {
			if h.Accepts(s) {
				t.Errorf("%s accepts %d", tt.text, s)
			}
		}
	}
}

// The service that is checked may create its CA later: its absence keeps vipd from nothing.
func TestHTTPCheckWarnsOfItsCAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ca.crt")
	parse := func() []string {
		_, warnings, err := parseText(httpConfig("target = \"https://h/\"\nca_file = \"" + path + "\""))
		if err != nil {
			t.Fatal(err)
		}
		return Strings(warnings)
	}
	const then = "; the check fails until it is a file of certificates in PEM"
	if got := parse(); len(got) != 1 || !strings.HasSuffix(got[0], "cannot be read: no such file or directory"+then) {
		t.Errorf("%q", got)
	}
	if err := os.WriteFile(path, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := parse(); len(got) != 1 || !strings.HasSuffix(got[0], "has no certificate"+then) {
		t.Errorf("%q", got)
	}
}

// A virtual address in a URL is refused in every form, as for tcp.
func TestHTTPCheckOfAVirtualAddress(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"https://192.0.2.100/", "http://192.0.2.100:8080/x", "http://[::ffff:192.0.2.100]/"} {
		_, _, err := parseText(httpConfig("target = \"" + target + "\""))
		if err == nil || !strings.Contains(err.Error(), "is an address of the [[vip]] in line 4") {
			t.Errorf("%s: %v", target, err)
		}
	}
}
