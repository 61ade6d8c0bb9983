// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"errors"
	"strings"
)

var errQuote = errors.New("a quotation mark is not closed")

// shellWords splits a line as a shell does, as far as command lines of daemons need:
// blanks, both quotation marks, backslashes. A # at the beginning of a word begins a
// comment; ; | and & end the command.
func shellWords(line string) ([]shellWord, error) {
	var words []shellWord
	var word strings.Builder
	in, expands := false, false // within a word; it has a $ that the shell reads
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
	// expands says that only a shell knows what it means.
	expands bool
}

func texts(words []shellWord) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w.text
	}
	return out
}

// quoted reads from an opening mark on and returns the offset of the closing one.
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

// line is one logical line, of those that a backslash joins, with the number of its
// first.
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
