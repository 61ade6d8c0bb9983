// SPDX-License-Identifier: Apache-2.0

package config

import (
	"io/fs"
	"strings"
	"testing"
)

// Characters that an editor put into a key file are named; the password is never shown.
func TestKeyFileOddities(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, password, want string }{
		{"verysecret\n", "verysecret", ""},
		{"verysecret", "verysecret", ""},
		{"very secret\n", "very secret", ""},
		{"it's\n", "it's", ""},
		{"verysecret\r\n", "verysecret", "ends in CR LF"},
		{"verysecret \n", "verysecret ", "ends with a blank"},
		{"verysecret\t\n", "verysecret\t", "ends with a blank"},
		{" verysecret\n", " verysecret", "begins with a blank"},
		{"\ufeffverysecret\n", "\ufeffverysecret", "begins with a byte order mark"},
		{"\"verysecret\"\n", "\"verysecret\"", "in quotes"},
		{"'verysecret'\r\n", "'verysecret'", "in quotes"},
		{"\u201cverysec\u201d\n", "\u201cverysec\u201d", "in quotes"},
		{"verysecret\u200b\n", "verysecret\u200b", "has an invisible character (U+200B)"},
		{"very\u00adsecret\n", "very\u00adsecret", "has an invisible character (U+00AD)"},
		{"very\x1bsecret\n", "very\x1bsecret", "has an invisible character (U+001B)"},
		{"v\u00e9rysecret\n", "v\u00e9rysecret", ""},
		{"v\xe9rysecret\n", "v\xe9rysecret", ""},
		{"\nverysecret\n", "", "only the first line counts"},
		{"\r\nverysecret\r\n", "", "only the first line counts"},
		{"\n", "", "the first line is empty"},
		{"", "", "the first line is empty"},
	} {
		text := "[[vip]]\ninterface = \"eth0\"\nvhid = 1\naddresses = [\"192.0.2.100/24\"]\npassword_file = \"/k\"\n"
		cfg, warnings, err := Parse("f", []byte(text), Options{
			ReadFile: func(string) ([]byte, fs.FileMode, error) { return []byte(c.file), 0o600, nil },
		})
		if err != nil {
			t.Errorf("%q: %v", c.file, err)
			continue
		}
		if got := string(cfg.Groups[0].Password.Bytes()); got != c.password {
			t.Errorf("%q: password %q, want %q", c.file, got, c.password)
		}
		told := strings.Join(Strings(warnings), "\n")
		if (c.want == "") != (told == "") || !strings.Contains(told, c.want) || strings.Contains(told, "verysec") {
			t.Errorf("%q: warnings %q, want %q", c.file, told, c.want)
		}
		if c.want != "" && !strings.Contains(told, "f:5: password_file: ") {
			t.Errorf("%q: no line in %q", c.file, told)
		}
	}
}

// Inline passwords and those of [[vip.accept]] are examined as well.
func TestInlinePasswordOddities(t *testing.T) {
	t.Parallel()
	text := "[[vip]]\ninterface = \"eth0\"\nvhid = 1\naddresses = [\"192.0.2.100/24\"]\npassword = \"'verysecret'\"\n" +
		"[[vip.accept]]\npassword = \"verysecret\\r\"\n"
	_, warnings, err := Parse("f", []byte(text), Options{Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	told := strings.Join(Strings(warnings), "\n")
	for _, want := range []string{
		"f:5: password: the password is enclosed in quotes", "f:7: password: the password ends with a carriage return",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("%q lacks %q", told, want)
		}
	}
	if strings.Contains(told, "verysecret") {
		t.Errorf("the password is shown: %q", told)
	}
}

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
	const want = "f.toml:5: password_file: the credential eth0-1 is available only to a vipd that systemd started with " +
		"LoadCredential=eth0-1:FILE; it is checked at each start"
	if _, _, err := Parse("f.toml", []byte(text), opts); err == nil || err.Error() != want {
		t.Errorf("without systemd: %v", err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "/creds")
	if _, _, err := Parse("f.toml", []byte(text), opts); err != nil {
		t.Errorf("with the directory in the environment: %v", err)
	}
}
