// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

func TestCredential(t *testing.T) {
	text := strings.Replace(vip, "/k/good", "credential:eth0-1", 1)
	cfg, warnings, err := Parse("f.toml", []byte(text), testOptions())
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if g := cfg.Groups[0]; string(g.Password.Bytes()) != "sesame" || g.PasswordFile != "credential:eth0-1" {
		t.Errorf("%q from %s", g.Password.Bytes(), g.PasswordFile)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	opts := testOptions()
	opts.Credentials = ""
	const want = "f.toml:5: password_file: the credential eth0-1 is known only to a vipd that systemd started with LoadCredential=eth0-1:FILE; there it is checked at each start"
	if _, _, err := Parse("f.toml", []byte(text), opts); err == nil || err.Error() != want {
		t.Errorf("without systemd: %v", err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "/creds")
	if _, _, err := Parse("f.toml", []byte(text), opts); err != nil {
		t.Errorf("with the directory in the environment: %v", err)
	}
}
