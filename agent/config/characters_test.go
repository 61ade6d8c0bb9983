// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMisplacedCharacters(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string // each begins a problem
	}{
		{"curly quotes", "[[vip]]\ninterface = “eth0”\n", []string{
			"f.toml:2: not valid TOML: column 13: “ (U+201C), a typographic quotation mark, is not allowed here; type \" " +
				"instead",
			"f.toml:2: not valid TOML: column 18: ” (U+201D), a typographic quotation mark, is not allowed here; type \" " +
				"instead",
		}},
		{
			"single ones",
			"[node]\nname = ‘a’\n",
			[]string{"f.toml:2: not valid TOML: column 8: ‘ (U+2018)", "f.toml:2: not valid TOML: column 10: ’ (U+2019)"},
		},
		{
			"one of two",
			"[node]\nname = \"a”\n",
			[]string{"f.toml:2: not valid TOML: column 10: ” (U+201D), a typographic quotation mark, does not close the " +
				"string that begins in column 8; type \""},
		},
		{
			"quotes around a key",
			"[carp]\n“preempt” = true\n",
			[]string{"f.toml:2: not valid TOML: column 1: “", "f.toml:2: not valid TOML: column 9: ”"},
		},
		{
			"guillemets",
			"[node]\nname = «a»\n",
			[]string{"f.toml:2: not valid TOML: column 8: « (U+00AB)", "f.toml:2: not valid TOML: column 10: » (U+00BB)"},
		},
		{
			"nbsp",
			"[carp]\npreempt\u00a0= true\n",
			[]string{
				"f.toml:2: not valid TOML: column 8: U+00A0, a space that is not ASCII, is not allowed here; type a space instead",
			},
		},
		{"nbsp at the end", "[carp]\npreempt = true\u00a0\n", []string{"f.toml:2: not valid TOML: column 15: U+00A0"}},
		{"ideographic space", "[carp]\n\u3000preempt = true\n", []string{"f.toml:2: not valid TOML: column 1: U+3000"}},
		{
			"zero width",
			"[carp]\n\u200bpreempt = true\n",
			[]string{"f.toml:2: not valid TOML: column 1: U+200B, an invisible character, is not allowed here; remove it"},
		},
		{
			"bom",
			"\ufeff[carp]\n",
			[]string{"f.toml:1: not valid TOML: column 1: U+FEFF, a byte order mark, is not allowed here; save the file as " +
				"UTF-8 without it"},
		},
		{
			"cr alone",
			"[carp]\rpreempt = true\r",
			[]string{
				"f.toml:1: not valid TOML: column 7: U+000D, a carriage return without a line feed,",
				"f.toml:1: not valid TOML: column 22: U+000D",
			},
		},
		{
			"minus",
			"[carp]\ndead_ratio = −2\n",
			[]string{"f.toml:2: not valid TOML: column 14: − (U+2212), a dash, is not allowed here; type - instead"},
		},
		{"dash in a key", "[vip–x]\n", []string{"f.toml:1: not valid TOML: column 5: – (U+2013)"}},
		{
			"full width",
			"[carp]\npreempt ＝ true\n",
			[]string{
				"f.toml:2: not valid TOML: column 9: ＝ (U+FF1D), a full-width character, is not allowed here; type = instead",
			},
		},
		{
			"a letter",
			"[c\u0430rp]\n",
			[]string{"f.toml:1: not valid TOML: column 3: \u0430 (U+0430) is not allowed here; outside of quotation marks"},
		},
		{
			"latin-1 in a comment",
			"# caf\xe9\n[carp]\n",
			[]string{"f.toml:1: not valid TOML: column 6: byte 0xE9 is not UTF-8"},
		},
		{
			"latin-1 in a string",
			"[node]\nname = \"caf\xe9\"\n",
			[]string{"f.toml:2: not valid TOML: column 12: byte 0xE9 is not UTF-8"},
		},
		{
			"control",
			"[node]\nname = \"a\x01b\"\n",
			[]string{"f.toml:2: not valid TOML: column 10: U+0001, a control character, is not allowed here; remove it"},
		},
		{"utf-16", "\xff\xfe[\x00c\x00", []string{"f.toml:1: not valid TOML: the file is UTF-16; save it as UTF-8"}},
		{
			"strings and comments may have them",
			"# “x”\n[node]\nname = \"a”“ \\\" ”\" # ’\nb = '”'\nc = \"\"\"\n”\n\"\"\"\nd = “\n",
			[]string{"f.toml:8: not valid TOML: column 5: “"},
		},
		{"no such character", "[carp]\npreempt = \n", []string{"f.toml:2: not valid TOML: "}},
		{
			"many",
			strings.Repeat("”", 20),
			append(slicesOf("f.toml:1: not valid TOML: column ", 10),
				"f.toml:1: not valid TOML: column 11: 10 more such characters from here on"),
		},
	} {
		_, _, err := Parse("f.toml", []byte(tt.text), testOptions())
		if err == nil {
			t.Errorf("%s: %q was accepted", tt.name, tt.text)
			continue
		}
		got := strings.Split(err.Error(), "\n")
		ok := len(got) == len(tt.want)
		for i := range tt.want {
			ok = ok && strings.HasPrefix(got[i], tt.want[i])
		}
		if !ok {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, err, strings.Join(tt.want, "\n"))
		}
		for _, c := range err.Error() {
			if c > 0x7f && !strings.ContainsRune(tt.text, c) {
				t.Errorf("%s: %q is not in the file: %v", tt.name, c, err)
			}
		}
	}
}

func slicesOf(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

// Characters that cannot be printed are shown by their code.
func TestProblemsEscapeUnprintableCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"pre\u00a0empt": `pre\u00a0empt`,
		"a\x1b[2J":      `a\x1b[2J`,
		"caf\xe9":       `caf\xe9`,
		"caf\u00e9":     "caf\u00e9",
		"\ufeffa":       `\ufeffa`,
	} {
		if got := printable(text); got != want || !utf8.ValidString(got) {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
	}
	_, _, err := Parse("f.toml", []byte("[carp]\n\"pre\u00a0empt\" = true\n"), testOptions())
	if err == nil || !strings.Contains(err.Error(), `pre\u00a0empt: unknown key`) {
		t.Errorf("error %v", err)
	}
}
