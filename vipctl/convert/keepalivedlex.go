// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"strings"
)

// token is a word, a brace or the end of a line of keepalived.conf.
type token struct {
	at     origin
	text   string
	kind   tokenKind
	quoted bool
}

type tokenKind uint8

const (
	tokenWord tokenKind = iota
	tokenOpen
	tokenClose
	tokenEnd // of a line
)

const (
	// maxIncludes limits files that include each other.
	maxIncludes = 64
	// maxExpanded limits nested definitions in a line.
	maxExpanded = 64 << 10
)

// lexer splits keepalived.conf into tokens. It expands definitions ($NAME=value) and reads included
// files in place.
type lexer struct {
	r        *reader
	defs     map[string]string
	includes int
	out      []token
}

func lex(r *reader, f File) []token {
	l := &lexer{r: r, defs: map[string]string{}}
	l.file(f)
	return l.out
}

func (l *lexer) file(f File) {
	lines := strings.Split(strings.TrimSuffix(string(plain(f.Data)), "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		at, text := origin{f.Name, i + 1}, strings.TrimSpace(lines[i])
		_, _, defines := definition(text)
		for i+1 < len(lines) && continued(text) {
			i++
			text = strings.TrimSpace(strings.TrimSuffix(text, "\\"))
			if defines { // several lines
				text += "\n"
			} else {
				text += " "
			}
			text += strings.TrimSpace(lines[i])
		}
		l.line(at, text)
	}
}

// continued reports whether the next line belongs to this one.
func continued(text string) bool {
	return strings.HasSuffix(text, "\\") && !strings.HasPrefix(text, "#") && !strings.HasPrefix(text, "!")
}

func (l *lexer) line(at origin, text string) {
	switch {
	case strings.HasPrefix(text, "@"):
		l.r.note(at, "a line for certain configuration ids (@) was left out: import a file with only the lines of one node")
		return
	case strings.HasPrefix(text, "~"):
		l.r.note(at, "%s is not understood and was left out", text)
		return
	}
	if name, value, ok := definition(text); ok {
		l.defs[name] = l.expand(at, value)
		return
	}
	for part := range strings.Lines(l.expand(at, text)) {
		l.words(at, strings.TrimSpace(part))
	}
}

func (l *lexer) words(at origin, text string) {
	start := len(l.out)
	l.tokens(at, text)
	if words := l.out[start:]; len(words) > 1 && strings.HasPrefix(words[0].text, "include") &&
		words[0].kind == tokenWord &&
		!words[0].quoted {
		pattern := words[1].text
		l.out = l.out[:start]
		l.include(at, pattern)
		return
	}
	if len(l.out) > start {
		l.out = append(l.out, token{at: at, kind: tokenEnd})
	}
}

// definition splits a line such as $VIP=192.0.2.1.
func definition(text string) (name, value string, ok bool) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return "", "", false
	}
	name, value, ok = strings.Cut(rest, "=")
	name = strings.TrimSpace(name)
	return name, strings.TrimSpace(value), ok && isName(name)
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// expand replaces $NAME and ${NAME} by their definitions. An undefined name stays, since it may be
// part of a script.
func (l *lexer) expand(at origin, text string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		name, length := reference(text[i:])
		value, known := l.defs[name]
		if length == 0 || !known {
			b.WriteByte(text[i])
			i++
			continue
		}
		b.WriteString(value)
		i += length
		if b.Len() > maxExpanded {
			l.r.problem(at, "the definitions in this line make it longer than %d bytes", maxExpanded)
			return ""
		}
	}
	return b.String()
}

// reference returns the name at the start of s and the length of the reference.
func reference(s string) (name string, length int) {
	if len(s) < 2 || s[0] != '$' {
		return "", 0
	}
	if s[1] == '{' {
		inner, _, closed := strings.Cut(s[2:], "}")
		if !closed || !isName(inner) {
			return "", 0
		}
		return inner, len(inner) + 3
	}
	end := 1
	for end < len(s) && isName(s[1:end+1]) {
		end++
	}
	if end == 1 {
		return "", 0
	}
	return s[1:end], end
}

// tokens splits a line. ! and # at the start of a word start a comment.
func (l *lexer) tokens(at origin, text string) {
	for i := 0; i < len(text); {
		switch text[i] {
		case ' ', '\t', '\r':
			i++
		case '!', '#':
			return
		case '{':
			l.out = append(l.out, token{at: at, text: "{", kind: tokenOpen})
			i++
		case '}':
			l.out = append(l.out, token{at: at, text: "}", kind: tokenClose})
			i++
		case '"', '\'':
			var word strings.Builder
			n, err := quoted(text[i:], &word)
			if err != nil {
				l.r.problem(at, "%v", err)
				return
			}
			l.out = append(l.out, token{at: at, text: word.String(), quoted: true})
			i += n + 1
		default:
			end := i
			for end < len(text) && !strings.ContainsRune(" \t\r{}", rune(text[end])) {
				end++
			}
			l.out = append(l.out, token{at: at, text: text[i:end]})
			i = end
		}
	}
}

func (l *lexer) include(at origin, pattern string) {
	if l.r.opts.Include == nil {
		l.r.note(at, "include %s is not followed", pattern)
		return
	}
	files, err := l.r.opts.Include(at.file, pattern)
	if err != nil {
		l.r.problem(at, "include %s: %v", pattern, err)
		return
	}
	if len(files) == 0 {
		l.r.note(at, "include %s: no such file", pattern)
	}
	for _, f := range files {
		if l.includes++; l.includes > maxIncludes {
			l.r.problem(at, "more than %d files are included; do they include each other?", maxIncludes)
			return
		}
		l.file(f)
	}
}
