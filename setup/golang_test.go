// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// starters maps the functions that start or look up a program to the index of its name in their arguments.
var starters = map[string]int{
	"Command": 0, "CommandContext": 1, "LookPath": 0, "Program": 1,
	"Run": 1, "MustRun": 1, "Spawn": 1, "SpawnEnv": 2, "inside": 0, "mustInside": 0,
}

// source is one Go file.
type source struct {
	fset *token.FileSet
	// values are the texts that a name of the file is given anywhere.
	values map[string][]word
	// helpers are the functions of the file that start the program in their arguments, with its place among them.
	helpers map[string]int
	found   []string
	// dynamic are the names of programs that cannot be read from the text.
	dynamic []string
	err     error
}

// goCommands returns the commands that a Go file starts, and the expressions whose value is known only at run time.
func goCommands(name, text string) (commands, dynamic []string, err error) {
	s := &source{fset: token.NewFileSet(), values: map[string][]word{}, helpers: map[string]int{}}
	file, err := parser.ParseFile(s.fset, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	ast.Inspect(file, s.assign)
	ast.Inspect(file, s.helper)
	ast.Inspect(file, s.visit)
	return s.found, s.dynamic, s.err
}

// assign records the values that a name is assigned.
func (s *source) assign(n ast.Node) bool {
	note := func(left, right ast.Expr) {
		if name, ok := left.(*ast.Ident); ok {
			s.values[name.Name] = append(s.values[name.Name], s.texts(right)...)
		}
	}
	switch n := n.(type) {
	case *ast.AssignStmt:
		if len(n.Rhs) == 1 {
			note(n.Lhs[0], n.Rhs[0])
		}
	case *ast.RangeStmt: // over command lines
		if list, ok := n.X.(*ast.CompositeLit); ok && n.Value != nil {
			for _, line := range list.Elts {
				if words, ok := line.(*ast.CompositeLit); ok && words.Type == nil && len(words.Elts) > 0 {
					note(n.Value, words.Elts[0])
				}
			}
		}
	case *ast.ValueSpec:
		for i, v := range n.Values {
			note(n.Names[i], v)
		}
	}
	return true
}

// helper records a function with (..., args ...string) that starts args[0].
func (s *source) helper(n ast.Node) bool {
	note := func(name string, typ *ast.FuncType, body *ast.BlockStmt) {
		at, args := 0, ""
		for _, field := range typ.Params.List {
			if _, variadic := field.Type.(*ast.Ellipsis); variadic && len(field.Names) == 1 {
				args = field.Names[0].Name
				break
			}
			at += max(1, len(field.Names))
		}
		ast.Inspect(body, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && args != "" {
				if place, starts := starters[callee(call)]; starts && len(call.Args) > place &&
					text(call.Args[place]) == args+"[...]" {
					s.helpers[name] = at
				}
			}
			return true
		})
	}
	switch n := n.(type) {
	case *ast.FuncDecl:
		if n.Body != nil {
			note(n.Name.Name, n.Type, n.Body)
		}
	case *ast.AssignStmt:
		if f, ok := n.Rhs[0].(*ast.FuncLit); ok && len(n.Rhs) == 1 {
			note(text(n.Lhs[0]), f.Type, f.Body)
		}
	}
	return true
}

func (s *source) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CallExpr:
		s.call(n)
	case *ast.BinaryExpr, *ast.BasicLit:
		text := s.texts(n.(ast.Expr))
		if len(text) > 0 && strings.HasPrefix(text[0].text, "#!/bin/") {
			s.script(text[0].text)
			return false
		}
	}
	return true
}

func (s *source) call(call *ast.CallExpr) {
	at, starts := starters[callee(call)]
	if place, helps := s.helpers[callee(call)]; helps {
		at, starts = place, true
	}
	if !starts || len(call.Args) <= at {
		return
	}
	program := call.Args[at]
	if _, isFunc := program.(*ast.FuncLit); isFunc {
		return // testing's Run
	}
	names := s.texts(program)
	var rest []word
	for _, arg := range call.Args[at+1:] {
		texts := s.texts(arg)
		if len(texts) == 0 {
			texts = []word{{}}
		}
		rest = append(rest, texts[0])
	}
	known := false
	for _, name := range names {
		if !name.known {
			continue
		}
		known = true
		commands, err := argv(append([]word{name}, rest...), nil)
		s.add(commands, err)
	}
	// The lab compares what it starts with the list itself.
	ofHelper := strings.HasSuffix(text(program), "[...]") && len(s.helpers) > 0
	if from, ok := call.Fun.(*ast.SelectorExpr); !known && !ofHelper && ok &&
		(text(from.X) == "exec" || text(from.X) == "needs") {
		s.dynamic = append(s.dynamic, fmt.Sprintf("%s(%s)", callee(call), text(program)))
	}
}

var verb = regexp.MustCompile(`%[-+#0-9.]*[a-z]`)

func (s *source) script(script string) {
	commands, err := shellCommands(script)
	s.add(commands, err)
}

func (s *source) add(commands []string, err error) {
	for _, c := range commands {
		if !strings.Contains(builtins, " "+c+" ") {
			s.found = append(s.found, c)
		}
	}
	if err != nil && s.err == nil {
		s.err = err
	}
}

// texts returns the possible values of an expression, as far as the file shows; unknown parts are X.
func (s *source) texts(e ast.Expr) []word {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return []word{{text, true}}
		}
	case *ast.Ident:
		return s.values[e.Name]
	case *ast.ParenExpr:
		return s.texts(e.X)
	case *ast.BinaryExpr:
		left, right := s.part(e.X), s.part(e.Y)
		return []word{{left.text + right.text, left.known && right.known}}
	case *ast.CallExpr:
		switch {
		case callee(e) == "Sprintf":
			if format := s.texts(e.Args[0]); len(format) > 0 {
				return []word{{verb.ReplaceAllString(format[0].text, "X"), false}}
			}
		case (callee(e) == "LookPath" || callee(e) == "Program") && len(e.Args) > starters[callee(e)]:
			return s.texts(e.Args[starters[callee(e)]])
		case callee(e) == "Join" && len(e.Args) > 1: // filepath.Join: the file's name is what counts
			return s.texts(e.Args[len(e.Args)-1])
		}
	}
	return nil
}

func (s *source) part(e ast.Expr) word {
	if texts := s.texts(e); len(texts) > 0 {
		return texts[0]
	}
	return word{text: "X"}
}

func callee(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	default:
		return ""
	}
}

func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return text(e.X) + "." + e.Sel.Name
	case *ast.IndexExpr:
		return text(e.X) + "[...]"
	case *ast.CallExpr:
		return text(e.Fun) + "(...)"
	default:
		return "..."
	}
}
