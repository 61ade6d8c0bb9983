// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The parser reads bytes and reports the first byte of a curly quotation mark as a character that
// is not in the file. After a syntax error, this file therefore searches for characters that TOML
// does not allow.

// misplaced is such a character.
type misplaced struct {
	line, column int // from 1; columns count characters
	char         rune
	invalid      bool // the byte char is not UTF-8
	opened       int  // the column of the unclosed string that it is in; 0 if none
}

// maxMisplaced limits the characters reported for one file.
const maxMisplaced = 10

// reportMisplaced reports the misplaced characters, and whether there are any.
func reportMisplaced(r *report, data []byte) bool {
	for mark, name := range map[string]string{"\xff\xfe": "UTF-16", "\xfe\xff": "UTF-16 (big endian)"} {
		if bytes.HasPrefix(data, []byte(mark)) {
			r.problem(1, "", "not valid TOML: the file is %s; save it as UTF-8", name)
			return true
		}
	}
	found := misplacedIn(data)
	for i, m := range found {
		if i == maxMisplaced {
			r.problem(m.line, "", "not valid TOML: column %d: %d more such characters from here on", m.column, len(found)-i)
			break
		}
		r.problem(m.line, "", "not valid TOML: column %d: %s", m.column, m.text())
	}
	return len(found) > 0
}

// text names the character and what to type.
func (m misplaced) text() string {
	if m.invalid {
		return fmt.Sprintf("byte 0x%02X is not UTF-8; save the file as UTF-8", m.char)
	}
	name := fmt.Sprintf("U+%04X", m.char)
	if unicode.IsPrint(m.char) {
		name = fmt.Sprintf("%c (%s)", m.char, name)
	}
	what, advice := lookalike(m.char)
	switch {
	case what != "":
		name += ", " + what + ","
	case m.char < ' ' || m.char == unicode.MaxASCII:
		name, advice = name+", a control character,", "remove it"
	default:
		advice = "outside of quotation marks TOML allows only ASCII: type it in ASCII, or put the key or value into \"\""
	}
	if m.opened > 0 {
		return fmt.Sprintf("%s does not close the string that begins in column %d; %s", name, m.opened, advice)
	}
	return fmt.Sprintf("%s is not allowed here; %s", name, advice)
}

// lookalike describes a character that editors and word processors put into files, and what to type instead.
func lookalike(c rune) (what, advice string) {
	switch c {
	case '\u201c', '\u201d', '\u201e', '\u201f', '\u00ab', '\u00bb', '\u2033', '\u2036', '\u301d', '\u301e', '\uff02':
		return "a typographic quotation mark", "type \" instead"
	case '\u2018', '\u2019', '\u201a', '\u201b', '\u2039', '\u203a', '\u2032', '\u2035', '\u00b4', '\uff07', '\u02bc':
		return "a typographic quotation mark", "type \" or ' instead"
	case '\u2010', '\u2011', '\u2012', '\u2013', '\u2014', '\u2015', '\u2212', '\ufe63', '\uff0d':
		return "a dash", "type - instead"
	case '\u2026':
		return "an ellipsis", "type ... instead"
	case '\ufeff':
		return "a byte order mark", "save the file as UTF-8 without it"
	case '\u200b', '\u200c', '\u200d', '\u2060', '\u00ad', '\u200e', '\u200f',
		'\u202a', '\u202b', '\u202c', '\u202d', '\u202e':
		return "an invisible character", "remove it"
	case '\u0085', '\u2028', '\u2029':
		return "a line separator", "begin a new line instead"
	case '\r':
		return "a carriage return without a line feed", "save the file with Unix line endings"
	}
	if unicode.Is(unicode.Zs, c) {
		return "a space that is not ASCII", "type a space instead"
	}
	if ascii := c - 0xfee0; c >= '\uff01' && c <= '\uff5e' {
		return "a full-width character", fmt.Sprintf("type %c instead", ascii)
	}
	return "", ""
}

// scanner finds the comments and strings of a document.
type scanner struct {
	found        []misplaced
	line, column int
	quote        string      // that closes the string; empty outside of strings
	comment      bool        // until the end of the line
	opened       int         // the column of the string
	within       []misplaced // look-alikes in the string, if it is not closed
}

func misplacedIn(data []byte) []misplaced {
	s := scanner{line: 1, column: 1}
	for len(data) > 0 {
		data = data[s.next(data):]
		s.column++
	}
	if s.quote != "" {
		s.found = append(s.found, s.within...)
	}
	return s.found
}

// next reads one character or quotation mark and returns its length.
func (s *scanner) next(data []byte) int {
	c, size := utf8.DecodeRune(data)
	here := misplaced{line: s.line, column: s.column, char: c}
	switch {
	case c == utf8.RuneError && size == 1:
		here.char, here.invalid = rune(data[0]), true
		s.found = append(s.found, here)
	case c == '\n':
		s.endLine()
	case c == '\r' && !bytes.HasPrefix(data, []byte("\r\n")), c < ' ' && c != '\t' && c != '\r', c == unicode.MaxASCII:
		s.found = append(s.found, here)
	case s.comment:
	case s.quote != "":
		return s.inString(data, here, size)
	case c == '#':
		s.comment = true
	case c == '"' || c == '\'':
		s.quote, s.opened = string(c), s.column
		if three := strings.Repeat(s.quote, 3); bytes.HasPrefix(data, []byte(three)) {
			s.quote = three
			s.column += 2
			return len(three)
		}
	case c > unicode.MaxASCII:
		s.found = append(s.found, here)
	}
	return size
}

func (s *scanner) inString(data []byte, here misplaced, size int) int {
	switch {
	case bytes.HasPrefix(data, []byte(s.quote)):
		size = len(s.quote)
		s.column += size - 1
		s.quote, s.within = "", nil
	case s.quote[0] == '"' && here.char == '\\' && len(data) > 1 && data[1] >= ' ' && data[1] < utf8.RuneSelf:
		s.column++
		return 2
	case here.char > unicode.MaxASCII:
		if what, _ := lookalike(here.char); what != "" {
			here.opened = s.opened
			s.within = append(s.within, here)
		}
	}
	return size
}

// endLine ends a comment, or an unclosed string of one line.
func (s *scanner) endLine() {
	if len(s.quote) == 1 {
		s.found = append(s.found, s.within...)
		s.quote, s.within = "", nil
	}
	s.comment = false
	s.line, s.column = s.line+1, 0
}
