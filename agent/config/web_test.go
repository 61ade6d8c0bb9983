// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
	"testing"
)

func TestWebKeys(t *testing.T) {
	t.Parallel()
	cfg, warnings, err := parseText(
		"[http]\nlisten = \"127.0.0.1:9112\"\ncontrols = true\ntoken_file = \"/k/token\"\n" +
			"hosts = [\"FW1.example\", \"192.0.2.1\", \"[2001:db8::1]\"]\n" +
			"[web]\nwidget_origins = [\"https://wall.example:8443\"]\n" +
			"nodes = [\"https://fw2.example:9112/\", \"http://192.0.2.12:9112/vipd\"]\n" + vip,
	)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if !cfg.HTTP.Controls || string(cfg.HTTP.Token.Bytes()) != "0123456789abcdef" ||
		!slices.Equal(cfg.HTTP.Hosts, []string{"fw1.example", "192.0.2.1", "[2001:db8::1]"}) {
		t.Errorf("http: %+v", cfg.HTTP)
	}
	if !slices.Equal(cfg.Web.Nodes, []string{"https://fw2.example:9112", "http://192.0.2.12:9112/vipd"}) ||
		!slices.Equal(cfg.Web.WidgetOrigins, []string{"https://wall.example:8443"}) {
		t.Errorf("web: %+v", cfg.Web)
	}
	cfg, warnings, err = parseText("[http]\nlisten = \"unix:/run/vipd/http.sock\"\ncontrols = true\n" + vip)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if path, ok := cfg.HTTP.Unix(); !ok || path != "/run/vipd/http.sock" {
		t.Errorf("unix socket %q, %v", path, ok)
	}
}

func TestWebFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{
			"[http]\ncontrols = true\n",
			"f.toml:2: controls: is true without token_file, so everybody who reaches 127.0.0.1:9112 could change this node",
		},
		{"[http]\nlisten = \"\"\ncontrols = true\ntoken_file = \"/k/token\"\n", "f.toml:3: controls: is true, but listen is"},
		{
			"[http]\ntoken_file = \"/k/good\"\n",
			"f.toml:2: token_file: the first line of /k/good is not a token; allowed are 16..256",
		},
		{"[http]\ntoken_file = \"/k/opentoken\"\n", "f.toml:2: token_file: /k/opentoken is readable by every user"},
		{"[http]\ntoken_file = \"/k/none\"\n", "f.toml:2: token_file: /k/none cannot be read"},
		{"[http]\nlisten = \"unix:run/x\"\n", "f.toml:2: listen: \"run/x\" is not allowed; use an absolute path"},
		{"[http]\nlisten = \"unix:/" + strings.Repeat("x", 120) + "\"\n", "f.toml:2: listen: is 121 bytes long"},
		{"[http]\nhosts = [\"http://fw1\"]\n", "f.toml:2: hosts: \"http://fw1\" is not a host name or address"},
		{"[web]\nwidget_origins = [\"https://a.example; script-src *\"]\n", "f.toml:2: widget_origins: "},
		{"[web]\nwidget_origins = [\"https://a.example/\"]\n", "f.toml:2: widget_origins: "},
		{"[web]\nwidget_origins = [\"*\"]\n", "f.toml:2: widget_origins: "},
		{"[web]\nnodes = [\"fw2.example\"]\n", "f.toml:2: nodes: "},
		{"[web]\nnodes = [\"file:///etc/passwd\"]\n", "f.toml:2: nodes: "},
		{"[web]\nnodes = [\"https://user:pass@fw2.example\"]\n", "f.toml:2: nodes: "},
		{"[web]\nnode = []\n", "f.toml:2: node: unknown key"},
	} {
		_, _, err := Parse("f.toml", []byte(tt.text+vip), testOptions())
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q:\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

func TestControlsInClearTextAreAWarning(t *testing.T) {
	t.Parallel()
	const keys = "controls = true\ntoken_file = \"/k/token\"\n"
	for listen, want := range map[string]int{"127.0.0.1:1": 0, "[::1]:1": 0, "localhost:1": 0, "0.0.0.0:1": 1, ":1": 1} {
		_, warnings, err := parseText("[http]\nlisten = \"" + listen + "\"\n" + keys + vip)
		if err != nil || len(warnings) != want {
			t.Errorf("%s: %v, %v", listen, warnings, err)
		}
	}
}
