// SPDX-License-Identifier: Apache-2.0

package manpage

import (
	"regexp"
	"strings"
)

// Config returns the page of a config file, in section 5, made from its commented reference:
// the comment above a key or table is its meaning, and its value is the default or an example.
func Config(name, version, purpose, path, intro string, reference []byte, more []Section) string {
	p := newPage(name, "5", version, purpose)
	p.section("Synopsis")
	p.raw("\\fI" + escape(path) + "\\fR")
	p.section("Description")
	p.text(intro)
	c := &configPage{page: p}
	for line := range strings.Lines(string(reference)) {
		c.line(strings.TrimRight(line, "\n"))
	}
	c.flush()
	p.more(more)
	return p.b.String()
}

// configPage reads the reference line by line.
type configPage struct {
	*page
	comment []string
	tables  bool // a table was read
	// item collects a key and those after it that have no comment of their own.
	item []Term
	text string
}

var (
	keyLine   = regexp.MustCompile(`^(# )?([a-z_]+) = (.+)$`)
	tableLine = regexp.MustCompile(`^(# )?(\[+[a-z.]+\]+)$`)
)

func (c *configPage) line(line string) {
	if m := tableLine.FindStringSubmatch(line); m != nil {
		c.flush()
		if !c.tables {
			c.section("Tables")
			c.tables = true
		}
		c.sub(m[2])
		if len(c.comment) > 0 {
			c.page.text(strings.Join(c.comment, " "))
			c.comment = nil
		}
		return
	}
	if m := keyLine.FindStringSubmatch(line); m != nil && c.tables {
		if len(c.comment) > 0 || len(c.item) == 0 {
			c.flush()
			c.text, c.comment = strings.Join(c.comment, " "), nil
		}
		c.item = append(c.item, Term{m[2], m[3]})
		return
	}
	rest, isComment := strings.CutPrefix(line, "#")
	switch {
	case isComment:
		if text := strings.TrimSpace(rest); !strings.HasPrefix(text, "SPDX-") {
			c.comment = append(c.comment, text)
		}
	case strings.TrimSpace(line) == "":
		c.flush()
		if !c.tables {
			c.comment = nil // about the file as a whole
		}
	}
}

// flush writes the collected item.
func (c *configPage) flush() {
	for i, key := range c.item {
		if i == 0 {
			c.raw(".TP")
		} else {
			c.raw(".TQ")
		}
		c.raw(bold(key.Word) + escape(" = "+key.Meaning))
	}
	if len(c.item) > 0 {
		c.page.text(c.text)
	}
	c.item, c.text = nil, ""
}
