// SPDX-License-Identifier: Apache-2.0

package manpage

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Command returns the page of a program, in section 8, made from its help.
func Command(app *cli.App, version string, more []Section) string {
	p := newPage(app.Name, "8", version, app.Usage)
	p.section("Synopsis")
	p.synopsis(app.UsageText)
	p.section("Description")
	p.description(app.Description)
	p.section("Options")
	p.flags(app.Flags)
	if len(app.Commands) > 0 {
		p.section("Commands")
		var global []string
		for _, f := range app.Flags {
			global = append(global, f.Names()[0])
		}
		for _, c := range app.Commands {
			p.command(app.Name, c, global)
		}
	}
	p.more(more)
	return p.b.String()
}

func (p *page) synopsis(text string) {
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			p.raw(".br")
		}
		name, rest, _ := strings.Cut(line, " ")
		p.raw(strings.TrimSpace(bold(name) + " " + escape(rest)))
	}
}

// description writes paragraphs, and as examples the blocks that begin with a title and a colon.
func (p *page) description(text string) {
	var plain []string
	for block := range strings.SplitSeq(text, "\n\n") {
		title, lines, found := strings.Cut(block, ":\n")
		if !found || title != strings.ToUpper(title) {
			plain = append(plain, block)
			continue
		}
		if len(plain) > 0 {
			p.text(strings.Join(plain, "\n\n"))
			plain = nil
		}
		name := strings.ToLower(title)
		p.raw(".PP\n" + escape(strings.ToUpper(name[:1])+name[1:]) + ":")
		p.example(dedent(lines))
	}
	if len(plain) > 0 {
		p.text(strings.Join(plain, "\n\n"))
	}
}

func dedent(lines string) string {
	var out []string
	for line := range strings.SplitSeq(lines, "\n") {
		out = append(out, strings.TrimPrefix(line, "   "))
	}
	return strings.Join(out, "\n")
}

// command writes a command and its subcommands, without the flags that all commands have.
func (p *page) command(above string, c *cli.Command, global []string) {
	if c.Hidden || c.Name == "help" {
		return
	}
	usage := c.UsageText
	if usage == "" {
		usage = above + " " + c.Name
	}
	p.sub(usage)
	p.text(strings.ToUpper(c.Usage[:1]) + c.Usage[1:] + ".")
	p.raw(".PP")
	p.description(c.Description)
	p.flags(
		slices.DeleteFunc(slices.Clone(c.Flags), func(f cli.Flag) bool { return slices.Contains(global, f.Names()[0]) }),
	)
	for _, sub := range c.Subcommands {
		p.command(above+" "+c.Name, sub, global)
	}
}

func (p *page) flags(flags []cli.Flag) {
	for _, f := range flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if names := f.Names(); ok && names[0] != "help" && names[0] != "generate-bash-completion" {
			p.flag(names, doc)
		}
	}
}

func (p *page) flag(names []string, doc cli.DocGenerationFlag) {
	usage, value := placeholder(doc.GetUsage())
	if doc.TakesValue() && value == "" {
		value = "value"
	}
	var forms []string
	for _, n := range names {
		form := "-" + n
		if len(n) > 1 {
			form = "--" + n
		}
		form = bold(form)
		if value != "" {
			form += " \\fI" + escape(value) + "\\fR"
		}
		forms = append(forms, form)
	}
	p.raw(".TP\n" + strings.Join(forms, ", "))
	if d := doc.GetDefaultText(); d != "" && d != "false" && d != `""` {
		usage += " (default: " + d + ")"
	}
	if env := doc.GetEnvVars(); len(env) > 0 {
		usage += " [" + strings.Join(env, ", ") + "]"
	}
	p.raw(inline(usage))
}

// placeholder returns the usage of a flag without backticks, and the name of its value, which is
// between them.
func placeholder(usage string) (text, value string) {
	before, rest, found := strings.Cut(usage, "`")
	inner, after, closed := strings.Cut(rest, "`")
	if !found || !closed {
		return usage, ""
	}
	return before + inner + after, inner
}
