// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// No way to print a config shows a password.
func TestSecretStaysSecret(t *testing.T) {
	t.Parallel()
	const password = "sesame-4711"
	g := Group{Interface: "eth0", VHID: 1, Password: NewSecret([]byte(password))}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%X", "%t", "%10.3s"} {
		fmt.Fprintf(&out, verb+"\n", g.Password)
		fmt.Fprintf(&out, verb+"\n", g)
		fmt.Fprintf(&out, verb+"\n", &g)
		fmt.Fprintf(&out, verb+"\n", &Config{Groups: []Group{g}})
	}
	out.WriteString(g.Password.String() + g.Password.GoString())
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "group", g, "password", g.Password)
	}
	j, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	for _, bad := range []string{
		password, fmt.Sprintf("%x", password), fmt.Sprintf("%X", password),
		strings.Trim(fmt.Sprintf("%d", []byte(password)), "[]"),
	} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("%q leaked", bad)
		}
	}
	if n := strings.Count(out.String(), redacted); n < 40 {
		t.Errorf("the redacted text is missing: %d times %s", n, redacted)
	}
	if string(g.Password.Bytes()) != password {
		t.Error("the password is lost")
	}
}

// No problem quotes a password.
func TestProblemsHidePasswords(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		`password = "hunter2-hunter2-hunter2"`, `password = ["hunter2"]`, `pasword = "hunter2"`,
		"password = \"hunter2\"\npassword = \"hunter2\"", `password = "hunter2"` + "\n" + `password_file = "/x"`,
		"password = \"x\"\n[[vip.accept]]\npassword = \"hunter2-hunter2-hunter2\"", "password = " +
			"\"x\"\n[[vip.accept]]\npassword = [\"hunter2\"]",
		"password = \"x\"\n[[vip.accept]]\npassword = \"hunter2\"\npassword_file = \"/x\"", "password = " +
			"\"x\"\n[[vip.accept]]\npasswort = \"hunter2\"",
		`password = "hunter2\u0000"`, `password = hunter2`, `password = "hunter2`,
	} {
		_, _, err := Parse("f.toml", []byte(strings.Replace(vip, `password_file = "/k/good"`, line, 1)), testOptions())
		if err == nil {
			t.Errorf("accepted %s", line)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s\nis reported as %v", line, err)
		}
	}
}
