// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/control/spec"
)

type object = map[string]any

// document is the OpenAPI file.
func document(t *testing.T) object {
	t.Helper()
	src := readSource(t)
	g := &schemas{src: src, out: object{}}
	paths := object{}
	for _, op := range operations() {
		item, _ := paths[op.path].(object)
		if item == nil {
			item = object{}
			paths[op.path] = item
		}
		item[strings.ToLower(op.method)] = op.object(t, g)
	}
	g.ref(reflect.TypeFor[api.ErrorBody]())
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title":   "vipd control API",
			"version": "1",
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "HTTP/1.1 and JSON over the unix socket of vipd. docs/api.md describes permissions and limits. " +
				"Fields are only ever added, and so are values of enumerations.",
		},
		"servers": []object{
			{
				"url":         "http://vipd",
				"description": "Over the unix socket " + api.DefaultSocket + "; the host name is ignored.",
			},
		},
		"paths":      paths,
		"components": object{"schemas": g.out},
	}
}

func (op operation) object(t *testing.T, g *schemas) object {
	var params []object
	if strings.Contains(op.path, "{name}") {
		text := "A group, interface@vhid."
		if strings.Contains(op.path, "demotions") {
			text = "The name of a demotion."
		}
		params = append(
			params,
			object{"name": "name", "in": "path", "required": true, "description": text, "schema": object{"type": "string"}},
		)
	}
	if strings.Contains(op.path, "{id}") {
		params = append(
			params,
			object{
				"name":        "id",
				"in":          "path",
				"required":    true,
				"description": "The number of an incident.",
				"schema":      object{"type": "integer", "minimum": 0},
			},
		)
	}
	for _, p := range op.params {
		params = append(
			params,
			object{"name": p.name, "in": "query", "description": p.text, "schema": object{"type": p.kind}},
		)
	}
	kind := spec.JSON
	if op.stream {
		kind = spec.Lines
	}
	responses := object{"200": object{
		"description": "Done.", "content": object{kind: object{"schema": g.ref(reflect.TypeOf(op.answer))}},
	}}
	for status, names := range op.refused(t) {
		slices.Sort(names)
		responses[strconv.Itoa(status)] = object{
			"description": "Refused: " + strings.Join(names, ", ") + ".",
			"content":     object{spec.JSON: object{"schema": g.ref(reflect.TypeFor[api.ErrorBody]())}},
		}
	}
	out := object{"summary": op.summary, "operationId": op.id(), "responses": responses}
	if params != nil {
		out["parameters"] = params
	}
	switch {
	case op.toml:
		out["requestBody"] = object{
			"required": false,
			"content":  object{"application/toml": object{"schema": object{"type": "string"}}},
		}
	case op.request != nil:
		out["requestBody"] = object{
			"required": !op.optional,
			"content":  object{spec.JSON: object{"schema": g.ref(reflect.TypeOf(op.request))}},
		}
	}
	return out
}

// refused are the codes by their status: those that every request may meet and its own.
func (op operation) refused(t *testing.T) map[int][]string {
	all := codes(t)
	names := append(
		[]string{
			api.CodeBadRequest,
			api.CodeTooLarge,
			api.CodeForbidden,
			api.CodeBusy,
			api.CodeInternal,
			api.CodeTimeout,
			api.CodeStopping,
		},
		op.refusals...)
	out := map[int][]string{}
	for _, code := range names {
		status := all[code]
		if status == 0 {
			t.Fatalf("code %s has no status", code)
		}
		if !slices.Contains(out[status], code) {
			out[status] = append(out[status], code)
		}
	}
	return out
}

// id is such as postGroupsYield.
func (op operation) id() string {
	id := strings.ToLower(op.method)
	for part := range strings.SplitSeq(strings.TrimPrefix(op.path, "/v1/"), "/") {
		if strings.HasPrefix(part, "{") {
			part = "one"
		}
		id += strings.ToUpper(part[:1]) + part[1:]
	}
	return id
}

// schemas makes schemas of the API's types.
type schemas struct {
	src source
	out object
}

func (g *schemas) ref(t reflect.Type) object {
	if _, done := g.out[t.Name()]; !done {
		g.out[t.Name()] = nil // types may contain themselves
		g.out[t.Name()] = g.structure(t)
	}
	return object{"$ref": "#/components/schemas/" + t.Name()}
}

func (g *schemas) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || name == "" {
			continue
		}
		s := g.schema(f.Type)
		if !strings.Contains(options, "omit") {
			required = append(required, name)
			if f.Type.Kind() == reflect.Pointer {
				s = object{"anyOf": []object{s, {"type": "null"}}}
			}
		}
		if text := g.src.docs[t.Name()+"."+f.Name]; text != "" {
			if _, isRef := s["$ref"]; isRef {
				s = object{"allOf": []object{s}}
			}
			s["description"] = text
		}
		if values := g.src.constants[enumeration(t.Name()+"."+f.Name)]; len(values) > 0 {
			s["enum"] = values
		}
		properties[name] = s
	}
	out := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	if text := g.src.docs[t.Name()]; text != "" {
		out["description"] = text
	}
	return out
}

// enumeration is the prefix of the constants that are a field's values.
func enumeration(field string) string {
	return map[string]string{
		"Error.Code":        "Code",
		"Handover.Outcome":  "Outcome",
		"Group.State":       "State",
		"Why.State":         "State",
		"Standby.State":     "State",
		"PeerGroup.State":   "State",
		"Difference.Code":   "Differs",
		"Transition.From":   "State",
		"Transition.To":     "State",
		"Event.Event":       "Event",
		"PlanChange.Action": "Plan",
		"PlanEffect.Effect": "Effect",
		"Finding.Severity":  "Severity",
		"Family.Family":     "Family",
	}[field]
}

func (g *schemas) schema(t reflect.Type) object {
	if t == reflect.TypeFor[time.Time]() {
		return object{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.schema(t.Elem())
	case reflect.Struct:
		return g.ref(t)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": g.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": g.schema(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	default:
		panic(fmt.Sprintf("no schema for %v", t))
	}
}

// source is what the comments of agent/control/api say.
type source struct {
	docs      map[string]string   // of Type and Type.Field
	constants map[string][]string // values of exported string constants by the prefix of their names
}

func readSource(t *testing.T) source {
	t.Helper()
	out := source{docs: map[string]string{}, constants: map[string][]string{}}
	files, err := filepath.Glob("api/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if gen, ok := d.(*ast.GenDecl); ok {
				out.read(gen)
			}
		}
	}
	return out
}

func (s source) read(gen *ast.GenDecl) {
	for _, one := range gen.Specs {
		switch one := one.(type) {
		case *ast.TypeSpec:
			doc := one.Doc
			if doc == nil {
				doc = gen.Doc
			}
			s.docs[one.Name.Name] = plainText(doc)
			if st, ok := one.Type.(*ast.StructType); ok {
				for _, f := range st.Fields.List {
					for _, name := range f.Names {
						s.docs[one.Name.Name+"."+name.Name] = plainText(f.Doc)
					}
				}
			}
		case *ast.ValueSpec:
			s.constant(gen.Tok, one)
		}
	}
}

func (s source) constant(tok token.Token, v *ast.ValueSpec) {
	if tok != token.CONST || len(v.Values) != 1 {
		return
	}
	lit, ok := v.Values[0].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return
	}
	value, err := strconv.Unquote(lit.Value)
	if err != nil {
		return
	}
	for _, prefix := range []string{
		"Code", "Outcome", "State", "Event", "Plan", "Effect", "Severity", "Family", "Differs",
	} {
		if rest, ok := strings.CutPrefix(v.Names[0].Name, prefix); ok && rest != "" {
			s.constants[prefix] = append(s.constants[prefix], value)
		}
	}
}

// plainText is a comment as one line, links of Go taken off.
func plainText(c *ast.CommentGroup) string {
	return strings.NewReplacer("[", "", "]", "", "\n", " ").Replace(strings.TrimSpace(c.Text()))
}
