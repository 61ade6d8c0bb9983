// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"fmt"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// word is one argument of a command; unknown if it is only known when the command runs.
type word struct {
	text  string
	known bool
}

// wrapper is a command that starts the command in its arguments.
type wrapper struct {
	valued     string // the options that take the next argument, between blanks
	positional int    // how many arguments stand between the options and the command
}

var wrappers = map[string]wrapper{
	"chroot": {positional: 1}, "chrt": {positional: 1}, "command": {}, "env": {valued: " -u -C "},
	"exec": {valued: " -a "}, "flock": {positional: 1}, "ionice": {valued: " -c -n "}, "nice": {valued: " -n "},
	"nohup": {}, "nsenter": {valued: " -t "}, "setpriv": {}, "setsid": {}, "sudo": {valued: " -u -g "}, "time": {},
	"strace":  {valued: " -o -e -p "},
	"timeout": {valued: " -k -s --kill-after --signal ", positional: 1}, "unshare": {}, "xargs": {valued: " -n -I "},
}

var (
	assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
	plainName  = regexp.MustCompile(`^[a-z0-9/][A-Za-z0-9_./+-]*$`)
)

// argv returns the commands that one command line starts: the command itself, wrapped commands and those in `sh -c`.
func argv(words []word, more map[string]wrapper) ([]string, error) {
	if len(words) == 0 || !words[0].known || !plainName.MatchString(words[0].text) {
		return nil, nil
	}
	name := words[0].text
	base := name[strings.LastIndexByte(name, '/')+1:]
	commands, rest := []string{base}, words[1:]
	if base == "sh" || base == "bash" {
		inner, err := shellArgument(rest)
		return append(commands, inner...), err
	}
	w, wraps := wrappers[base]
	if local, ok := more[base]; ok {
		w, wraps, commands = local, true, nil
	}
	if !wraps {
		return commands, nil
	}
	positional := w.positional
	for len(rest) > 0 {
		first := rest[0]
		switch {
		case first.known && strings.Contains(w.valued, " "+first.text+" "):
			rest = rest[min(2, len(rest)):]
		case first.known && (strings.HasPrefix(first.text, "-") || assignment.MatchString(first.text)):
			rest = rest[1:]
		case positional > 0:
			positional--
			rest = rest[1:]
		default:
			inner, err := argv(rest, more)
			return append(commands, inner...), err
		}
	}
	return commands, nil
}

// shellArgument returns the commands of the script in `sh -c SCRIPT`.
func shellArgument(words []word) ([]string, error) {
	for i, w := range words {
		if !w.known || !strings.HasPrefix(w.text, "-") {
			return nil, nil
		}
		if strings.HasSuffix(w.text, "c") && i+1 < len(words) {
			return shellCommands(words[i+1].text)
		}
	}
	return nil, nil
}

// builtins lists the commands that are built into the shell.
const builtins = " . : [ alias break cd continue eval exit export false getopts hash local printf pwd read readonly " +
	"return set shift shopt source test times trap true type ulimit umask unset wait echo exec command mapfile kill " +
	"time complete compgen declare "

// shellCommands returns the commands that a script starts by name, without functions that it defines itself.
func shellCommands(script string) ([]string, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(script), "")
	if err != nil {
		return nil, fmt.Errorf("not a shell script: %w\n%s", err, script)
	}
	functions := map[string]bool{}
	local := map[string]wrapper{}
	syntax.Walk(file, func(n syntax.Node) bool {
		if f, ok := n.(*syntax.FuncDecl); ok {
			functions[f.Name.Value] = true
			if runsItsArguments(f.Body) {
				local[f.Name.Value] = wrapper{}
			}
		}
		return true
	})
	var commands []string
	var failed error
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok {
			return true
		}
		started, err := argv(literals(call.Args), local)
		if err != nil && failed == nil {
			failed = err
		}
		for _, c := range started {
			if !functions[c] && !strings.Contains(builtins, " "+c+" ") {
				commands = append(commands, c)
			}
		}
		return true
	})
	return commands, failed
}

// runsItsArguments reports whether a function has a command line that is "$@".
func runsItsArguments(body syntax.Node) bool {
	found := false
	syntax.Walk(body, func(n syntax.Node) bool {
		if call, ok := n.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			var b strings.Builder
			if syntax.NewPrinter().Print(&b, call.Args[0]) == nil && b.String() == `"$@"` {
				found = true
			}
		}
		return !found
	})
	return found
}

func literals(args []*syntax.Word) []word {
	var words []word
	for _, arg := range args {
		words = append(words, literal(arg))
	}
	return words
}

func literal(arg *syntax.Word) word {
	w := word{known: true}
	for _, part := range arg.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			w.text += p.Value
		case *syntax.SglQuoted:
			w.text += p.Value
		case *syntax.DblQuoted:
			inner := literal(&syntax.Word{Parts: p.Parts})
			w.text += inner.text
			w.known = w.known && inner.known
		default:
			w.text += "X"
			w.known = false
		}
	}
	return w
}

var (
	makeDefinition = regexp.MustCompile(`(?m)^([A-Za-z_]+) *[?:]?= *(.*)$`)
	makeVariable   = regexp.MustCompile(`\$\(([A-Za-z_]+)\)`)
	makeFunction   = regexp.MustCompile(`\$\([a-z][a-z-]* [^()]*\)`)
)

// makeCommands returns the commands in the recipes and in the $(shell ...) of a makefile.
func makeCommands(text string) ([]string, error) {
	values := map[string]string{"MAKE": "make", "CURDIR": "/tmp"}
	for _, m := range makeDefinition.FindAllStringSubmatch(text, -1) {
		value := m[2]
		shellFunctions(&value)
		values[m[1]] = value
	}
	var commands []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\\\n", " "), "\n") {
		recipe, isRecipe := strings.CutPrefix(line, "\t")
		scripts := shellFunctions(&line)
		if isRecipe {
			recipe = strings.TrimLeft(recipe, "@+-")
			scripts = append(scripts, shellFunctions(&recipe)...)
			scripts = append(scripts, recipe)
		}
		for _, s := range scripts {
			for range 5 { // what a variable stands for may hold variables
				s = makeVariable.ReplaceAllStringFunc(s, func(v string) string { return values[v[2:len(v)-1]] })
			}
			for range 3 { // the other functions of make, from the inside out
				s = makeFunction.ReplaceAllString(s, "")
			}
			s = strings.NewReplacer("$$", "$", "$@", "TARGET", "$*", "STEM").Replace(s)
			found, err := shellCommands(s)
			if err != nil {
				return nil, err
			}
			commands = append(commands, found...)
		}
	}
	return commands, nil
}

// shellFunctions removes every $(shell ...) from a line and returns their contents.
func shellFunctions(line *string) []string {
	var scripts []string
	for {
		before, rest, found := strings.Cut(*line, "$(shell ")
		if !found {
			return scripts
		}
		depth, end := 1, 0
		for ; end < len(rest); end++ {
			switch rest[end] {
			case '(':
				depth++
			case ')':
				depth--
			}
			if depth == 0 {
				break
			}
		}
		scripts = append(scripts, rest[:end])
		*line = before + rest[min(end+1, len(rest)):]
	}
}
