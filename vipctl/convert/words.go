// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"bytes"
	"errors"
	"strings"
)

var errQuote = errors.New("a quotation mark is not closed")

// shellWords splits a line as a shell does, with blanks, both quotation marks and backslashes. A # at
// the start of a word starts a comment; ; | & < and > end the command.
func shellWords(line string) ([]shellWord, error) {
	var words []shellWord
	var word strings.Builder
	in, expands := false, false // in a word; the word has a $ or ` for the shell
	end := func() {
		if in {
			words = append(words, shellWord{word.String(), expands})
			word.Reset()
			in, expands = false, false
		}
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t', '\r':
			end()
		case '#':
			if !in {
				return words, nil
			}
			word.WriteByte(c)
		case ';', '|', '&', '<', '>':
			end()
			return words, nil
		case '\'', '"':
			in = true
			before := word.Len()
			n, err := quoted(line[i:], &word)
			if err != nil {
				return words, err
			}
			expands = expands || c == '"' && strings.Contains(word.String()[before:], "$")
			i += n
		case '\\':
			in = true
			if i++; i < len(line) {
				word.WriteByte(line[i])
			}
		default:
			in = true
			expands = expands || c == '$' || c == '`'
			word.WriteByte(c)
		}
	}
	end()
	return words, nil
}

// shellWord is a word of a command line.
type shellWord struct {
	text string
	// expands means that only a shell can expand the word.
	expands bool
}

func texts(words []shellWord) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w.text
	}
	return out
}

// quoted reads a quoted string and returns the offset of the closing mark.
func quoted(s string, word *strings.Builder) (int, error) {
	mark := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == mark:
			return i, nil
		case s[i] == '\\' && mark == '"' && i+1 < len(s) && strings.IndexByte("\\\"$`", s[i+1]) >= 0:
			i++
			word.WriteByte(s[i])
		default:
			word.WriteByte(s[i])
		}
	}
	return 0, errQuote
}

// plain removes a byte order mark and converts line endings to line feeds.
func plain(data []byte) []byte {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
}

// line is a logical line, joined from lines that end with a backslash, with the number of the first.
type line struct {
	number int
	text   string
}

func logicalLines(data []byte) []line {
	var out []line
	joined := false
	number := 0
	for physical := range strings.Lines(string(data)) {
		number++
		text := strings.TrimRight(physical, "\r\n")
		more := strings.HasSuffix(text, "\\") && !strings.HasSuffix(text, "\\\\")
		text = strings.TrimSuffix(text, "\\")
		if joined {
			out[len(out)-1].text += " " + text
		} else {
			out = append(out, line{number, text})
		}
		joined = more
	}
	return out
}
