// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// decodePassword reads password or password_file; written is false if neither is set.
func decodePassword(s *section, opts Options) (password Secret, file string, written bool) {
	var inline string
	hasInline := s.str("password", &inline)
	hasFile := s.str("password_file", &file)
	triedInline, triedFile := s.tried("password"), s.tried("password_file")
	switch {
	case triedInline && triedFile:
		s.r.problem(max(s.line("password"), s.line("password_file")), "password_file",
			"is set together with password; keep one of the two")
	case hasInline:
		if inline != "" && opts.Mode&0o004 != 0 {
			s.problem("password", "a password must not be in a file that every user can read: `chmod o-rwx %s`, "+
				"or use password_file", s.r.file)
		}
		password = checkPassword(s, "password", []byte(inline))
	case hasFile:
		password = readPassword(s, file, opts)
	}
	return password, file, triedInline || triedFile
}

// credentialPrefix marks a password file that is a credential of the systemd unit.
const credentialPrefix = "credential:"

// credentialPath is where systemd puts a credential.
func credentialPath(s *section, name string, opts Options) (path string, ok bool) {
	const key = "password_file"
	switch {
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		s.problem(key, "%q is not a credential name; allowed is credential:NAME as in LoadCredential=NAME:FILE "+
			"of the systemd unit", name)
	case opts.Credentials == "":
		s.problem(key, "the credential %s is available only to a vipd that systemd started with "+
			"LoadCredential=%s:FILE; it is checked at each start", name, name)
	default:
		return filepath.Join(opts.Credentials, name), true
	}
	return "", false
}

// readPassword reads the first line of the password file.
func readPassword(s *section, path string, opts Options) Secret {
	const key = "password_file"
	if name, is := strings.CutPrefix(path, credentialPrefix); is {
		var ok bool
		if path, ok = credentialPath(s, name, opts); !ok {
			return Secret{}
		}
	}
	if !checkPath(s, key, path) {
		return Secret{}
	}
	data, mode, err := opts.ReadFile(path)
	if err != nil {
		s.problem(key, "%s %v; its first line must be the password, 0..%d bytes", path, err, maxPassword)
		return Secret{}
	}
	if mode&0o004 != 0 {
		s.warn(key, "%s is readable by every user of this host: `chmod o-rwx %s`", path, path)
	}
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	password, cut := bytes.CutSuffix(first, []byte("\r"))
	if cut {
		s.warn(key, "the first line of %s ends in CR LF, as on Windows; vipd does not count the CR as part of the "+
			"password, but peers that read the same file may", path)
	}
	if len(password) == 0 && len(bytes.TrimSpace(rest)) > 0 {
		s.warn(key, "the first line of %s is empty and a later one is not: only the first line counts", path)
	}
	return checkPassword(s, key, password)
}

// checkPassword never puts the password into its message.
func checkPassword(s *section, key string, password []byte) Secret {
	switch {
	case len(password) > maxPassword:
		s.problem(key, "the password is %d bytes long, CARP allows 0..%d", len(password), maxPassword)
	case bytes.IndexByte(password, 0) >= 0:
		s.problem(key, "the password has a zero byte, which ends it on the peers; allowed are 0..%d other bytes", maxPassword)
	case len(password) == 0 && key == "password_file":
		s.warn(key, "the first line is empty, so the key is all zero and any host on the segment can take over the addresses")
	}
	for _, odd := range oddities(password) {
		s.warn(key, "the password %s, which is part of the password: peers configured without it reject our "+
			"advertisements", odd)
	}
	return NewSecret(password)
}

// bom is the byte order mark, which some editors put at the start of a file.
var bom = []byte("\ufeff")

// oddities describes characters of a password that an editor or a shell may have added. It never
// shows the password.
func oddities(password []byte) []string {
	var out []string
	if rest, has := bytes.CutPrefix(password, bom); has {
		out = append(out, "begins with a byte order mark (BOM)")
		password = rest
	}
	if bytes.Contains(password, bom) {
		out = append(out, "has a byte order mark (BOM) inside")
	}
	if first, _ := utf8.DecodeRune(password); unicode.IsSpace(first) {
		out = append(out, "begins with a blank")
	}
	if last, _ := utf8.DecodeLastRune(password); last == '\r' {
		out = append(out, "ends with a carriage return (CR)")
	} else if unicode.IsSpace(last) {
		out = append(out, "ends with a blank")
	}
	if quoted(bytes.TrimSpace(password)) {
		out = append(out, "is enclosed in quotes")
	}
	for _, r := range string(bytes.TrimSpace(password)) {
		if r != '\ufeff' && (unicode.Is(unicode.Cf, r) || unicode.IsControl(r)) {
			return append(out, fmt.Sprintf("has an invisible character (U+%04X)", r))
		}
	}
	return out
}

// quoted reports whether a text is enclosed in a pair of quotes.
func quoted(text []byte) bool {
	for _, q := range []struct{ open, close string }{
		{`"`, `"`},
		{"'", "'"},
		{"`", "`"},
		{"\u201c", "\u201d"},
		{"\u2018", "\u2019"},
		{"\u201e", "\u201c"},
	} {
		inner, opened := bytes.CutPrefix(text, []byte(q.open))
		if opened && bytes.HasSuffix(inner, []byte(q.close)) {
			return true
		}
	}
	return false
}
