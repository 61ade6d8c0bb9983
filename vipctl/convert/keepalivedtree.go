// SPDX-License-Identifier: Apache-2.0

package convert

import "strings"

// statement is a line of keepalived.conf with the block in braces after it.
type statement struct {
	at    origin
	words []token
	block []statement
	open  bool // has a block, maybe an empty one
}

// key returns the first word, args the others.
func (s *statement) key() string { return s.words[0].text }

func (s *statement) args() []string {
	out := make([]string, 0, len(s.words)-1)
	for _, w := range s.words[1:] {
		out = append(out, w.text)
	}
	return out
}

// line returns the statement as text.
func (s *statement) line() string { return strings.Join(append([]string{s.key()}, s.args()...), " ") }

// maxDepth limits nested blocks; keepalived has four levels.
const maxDepth = 16

type parser struct {
	r      *reader
	tokens []token
}

func parse(r *reader, f File) []statement {
	p := &parser{r: r, tokens: lex(r, f)}
	out := p.block(origin{file: f.Name}, 0)
	for len(p.tokens) > 0 { // after an extra }
		p.tokens = p.tokens[1:]
		out = append(out, p.block(origin{file: f.Name}, 0)...)
	}
	return out
}

// block reads statements up to the closing brace, or to the end at depth 0.
func (p *parser) block(opened origin, depth int) []statement {
	var out []statement
	for len(p.tokens) > 0 {
		switch t := p.tokens[0]; t.kind {
		case tokenEnd:
			p.tokens = p.tokens[1:]
		case tokenClose:
			if depth == 0 {
				p.r.problem(t.at, "a } without its {")
				return out
			}
			p.tokens = p.tokens[1:]
			return out
		case tokenOpen:
			p.r.problem(t.at, "a { without a name before it")
			p.tokens = p.tokens[1:]
			p.inner(t.at, depth)
		default:
			out = append(out, p.statement(depth))
		}
	}
	if depth > 0 {
		p.r.problem(opened, "the { of this block is not closed")
	}
	return out
}

func (p *parser) inner(at origin, depth int) []statement {
	if depth+1 > maxDepth {
		p.r.problem(at, "more than %d nested blocks", maxDepth)
		p.tokens = nil
		return nil
	}
	return p.block(at, depth+1)
}

func (p *parser) statement(depth int) statement {
	s := statement{at: p.tokens[0].at}
	for len(p.tokens) > 0 && p.tokens[0].kind == tokenWord {
		s.words = append(s.words, p.tokens[0])
		p.tokens = p.tokens[1:]
	}
	n := 0 // the brace may be on its own line
	for n < len(p.tokens) && p.tokens[n].kind == tokenEnd {
		n++
	}
	if n < len(p.tokens) && p.tokens[n].kind == tokenOpen {
		p.tokens = p.tokens[n+1:]
		s.open, s.block = true, p.inner(s.at, depth)
	}
	return s
}
