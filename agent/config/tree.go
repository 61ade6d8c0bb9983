// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// kind is the type of a node, as error messages name it.
type kind string

const (
	kindTable    kind = "a table"
	kindTables   kind = "an array of tables"
	kindArray    kind = "an array"
	kindString   kind = "a string"
	kindBool     kind = "a boolean"
	kindInteger  kind = "an integer"
	kindFloat    kind = "a float"
	kindDatetime kind = "a date or time"
)

// node is one value of the document and its line. The library's decoder stops at the first wrong
// type and does not return the lines of valid values. All problems are reported at once with
// their lines, so the tree is built here on the library's parser.
type node struct {
	kind kind
	line int
	str  string  // kindString
	yes  bool    // kindBool
	num  int64   // kindInteger
	flt  float64 // kindFloat and kindInteger
	raw  string  // kindInteger and kindFloat, as in the file
	over bool    // the integer does not fit 64 bits

	keys   []string // of a table, in the order of the file
	fields map[string]*node
	items  []*node // of arrays

	closed bool // [table] was read, or the table is inline: no second one is allowed
}

func newTable(line int) *node {
	return &node{kind: kindTable, line: line, fields: map[string]*node{}}
}

func (n *node) set(key string, v *node) {
	n.keys = append(n.keys, key)
	n.fields[key] = v
}

// builder reads a document into a tree.
type builder struct {
	r     *report
	p     unstable.Parser
	lines []int // offset of the first byte of each line
	root  *node
	here  *node // the table of the following keys; nil after a bad header
}

// buildTree returns nil, and reports why, if the document is not TOML.
func buildTree(r *report, data []byte) *node {
	b := &builder{r: r, lines: lineStarts(data), root: newTable(1)}
	b.here = b.root
	b.p.Reset(data)
	for b.p.NextExpression() {
		b.expression(b.p.Expression())
	}
	if err := b.p.Error(); err != nil {
		if reportMisplaced(r, data) {
			return nil
		}
		line := 1
		if pe, ok := errors.AsType[*unstable.ParserError](err); ok && pe.Highlight != nil {
			line = b.line(b.p.Range(pe.Highlight))
		}
		r.problem(line, "", "not valid TOML: %v", err)
		return nil
	}
	return b.root
}

// checkDocument finds what only the library's decoder checks (leading zeros, impossible dates).
// The decoder stops at the first fault, so it runs only if no other was found.
func checkDocument(r *report, data []byte) {
	var all map[string]any
	err := toml.Unmarshal(data, &all)
	if err == nil {
		return
	}
	if reportMisplaced(r, data) {
		return
	}
	line, key := 0, ""
	if de, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ = de.Position()
		key = strings.Join(de.Key(), ".")
	}
	r.problem(line, key, "not valid TOML: %s", strings.TrimPrefix(err.Error(), "toml: "))
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i := 0; ; {
		j := bytes.IndexByte(data[i:], '\n')
		if j < 0 {
			return starts
		}
		i += j + 1
		starts = append(starts, i)
	}
}

func (b *builder) line(r unstable.Range) int {
	return sort.SearchInts(b.lines, int(r.Offset)+1)
}

func (b *builder) expression(e *unstable.Node) {
	switch e.Kind {
	case unstable.Table:
		b.here = b.header(e)
	case unstable.ArrayTable:
		b.here = b.arrayHeader(e)
	case unstable.KeyValue:
		if b.here != nil {
			b.keyValue(b.here, e)
		}
	default: // without KeepComments there are no others
	}
}

// path returns the parts of a dotted key and their line.
func (b *builder) path(it unstable.Iterator) (parts []string, line int) {
	for it.Next() {
		if parts == nil {
			line = b.line(it.Node().Raw)
		}
		parts = append(parts, string(it.Node().Data))
	}
	return parts, line
}

// descend returns the table for the last part and creates tables on the way. An [[array]] on the
// way means its last table.
func (b *builder) descend(at *node, parts []string, line int) *node {
	for i, part := range parts[:len(parts)-1] {
		next := at.fields[part]
		switch {
		case next == nil:
			next = newTable(line)
			at.set(part, next)
		case next.kind == kindTables:
			next = next.items[len(next.items)-1]
		case next.kind != kindTable:
			b.r.problem(line, strings.Join(parts[:i+1], "."), "is %s since line %d, so it cannot be a table here",
				next.kind, next.line)
			return nil
		}
		at = next
	}
	return at
}

func (b *builder) header(e *unstable.Node) *node {
	parts, line := b.path(e.Key())
	name := strings.Join(parts, ".")
	parent := b.descend(b.root, parts, line)
	if parent == nil {
		return nil
	}
	last := parts[len(parts)-1]
	t := parent.fields[last]
	switch {
	case t == nil:
		t = newTable(line)
		parent.set(last, t)
	case t.kind == kindTables:
		b.r.problem(line, name, "is [[%s]] in line %d, so it must be [[%s]] here", name, t.line, name)
		return nil
	case t.kind != kindTable || t.closed:
		b.r.problem(line, name, "duplicate: [%s] is already defined in line %d; put its keys there", name, t.line)
		return nil
	}
	t.closed = true
	t.line = line
	return t
}

func (b *builder) arrayHeader(e *unstable.Node) *node {
	parts, line := b.path(e.Key())
	name := strings.Join(parts, ".")
	parent := b.descend(b.root, parts, line)
	if parent == nil {
		return nil
	}
	last := parts[len(parts)-1]
	a := parent.fields[last]
	switch {
	case a == nil:
		a = &node{kind: kindTables, line: line}
		parent.set(last, a)
	case a.kind != kindTables:
		b.r.problem(line, name, "is %s since line %d, so it cannot be [[%s]] here", a.kind, a.line, name)
		return nil
	}
	t := newTable(line)
	t.closed = true
	a.items = append(a.items, t)
	return t
}

func (b *builder) keyValue(at *node, e *unstable.Node) {
	parts, line := b.path(e.Key())
	at = b.descend(at, parts, line)
	if at == nil {
		return
	}
	last := parts[len(parts)-1]
	if was := at.fields[last]; was != nil {
		b.r.problem(line, strings.Join(parts, "."), "duplicate: already set in line %d; keep one of them", was.line)
		return
	}
	at.set(last, b.value(e.Value(), line))
}

func (b *builder) value(v *unstable.Node, line int) *node {
	n := &node{line: line}
	switch v.Kind {
	case unstable.String:
		n.kind, n.str = kindString, string(v.Data)
	case unstable.Bool:
		n.kind, n.yes = kindBool, string(v.Data) == "true"
	case unstable.Integer:
		n.kind, n.raw = kindInteger, string(v.Data)
		num, err := strconv.ParseInt(n.raw, 0, 64)
		n.num, n.flt, n.over = num, float64(num), err != nil
	case unstable.Float:
		n.kind, n.raw = kindFloat, string(v.Data)
		// NaN if it cannot be parsed, which every range check refuses.
		n.flt = parseFloat(n.raw)
	case unstable.Array:
		n.kind = kindArray
		for it := v.Children(); it.Next(); {
			item := it.Node()
			at := line
			if item.Raw.Length > 0 { // an inner array has no position
				at = b.line(item.Raw)
			}
			n.items = append(n.items, b.value(item, at))
		}
	case unstable.InlineTable:
		n = newTable(line)
		for it := v.Children(); it.Next(); {
			b.keyValue(n, it.Node())
		}
		n.closed = true
	default:
		n.kind = kindDatetime
	}
	return n
}
