// SPDX-License-Identifier: Apache-2.0

// Package spec checks answers of the control API against its OpenAPI file, in tests.
package spec

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Content types of answers.
const (
	JSON  = "application/json"
	Lines = "application/x-ndjson"
)

// Operation is one method of one path in the file.
type Operation struct {
	Method, Path string
	// Query are the names of its parameters, sorted.
	Query []string
	// RequestType is the content type of its body; empty if it has none.
	RequestType string
	// Statuses are the possible statuses of its answer.
	Statuses []int
}

// Spec is an OpenAPI file.
type Spec struct {
	doc        map[string]any
	operations []Operation
	compiler   *jsonschema.Compiler
}

const base = "file:///openapi.json"

// Load reads the file. Answers with fields that its schemas do not name are refused; the file
// itself allows them, for clients of older versions.
func Load(path string) (*Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	doc, ok := value.(map[string]any)
	if !ok || doc["openapi"] != "3.1.0" {
		return nil, fmt.Errorf("%s is not OpenAPI 3.1.0", path)
	}
	closeObjects(doc)
	s := &Spec{doc: doc, compiler: jsonschema.NewCompiler()}
	s.compiler.DefaultDraft(jsonschema.Draft2020)
	s.compiler.AssertFormat()
	if err := s.compiler.AddResource(base, doc); err != nil {
		return nil, err
	}
	if err := s.readOperations(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// closeObjects forbids further properties in every schema that names some.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, has := v["properties"]; has && v["type"] == "object" {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}

func (s *Spec) readOperations() error {
	paths, _ := s.doc["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		methods, _ := paths[path].(map[string]any)
		for _, method := range slices.Sorted(maps.Keys(methods)) {
			raw, ok := methods[method].(map[string]any)
			if !ok {
				return fmt.Errorf("%s %s is not an operation", method, path)
			}
			op := Operation{Method: strings.ToUpper(method), Path: path}
			for _, p := range list(raw["parameters"]) {
				if p["in"] == "query" {
					op.Query = append(op.Query, fmt.Sprint(p["name"]))
				}
			}
			slices.Sort(op.Query)
			if body, ok := raw["requestBody"].(map[string]any); ok {
				content, _ := body["content"].(map[string]any)
				op.RequestType = strings.Join(slices.Sorted(maps.Keys(content)), " ")
			}
			responses, _ := raw["responses"].(map[string]any)
			for _, status := range slices.Sorted(maps.Keys(responses)) {
				code, err := strconv.Atoi(status)
				if err != nil {
					return fmt.Errorf("%s %s: status %q", method, path, status)
				}
				op.Statuses = append(op.Statuses, code)
			}
			s.operations = append(s.operations, op)
		}
	}
	return nil
}

func list(v any) []map[string]any {
	var out []map[string]any
	items, _ := v.([]any)
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// Operations returns all operations of the file, sorted by path.
func (s *Spec) Operations() []Operation { return s.operations }

// Answer checks one answer against its schema, a stream line by line.
func (s *Spec) Answer(method, path string, status int, contentType string, body []byte) error {
	pointer := []string{
		"paths", path, strings.ToLower(method), "responses", strconv.Itoa(status), "content", contentType, "schema",
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	for i, part := range pointer {
		pointer[i] = escape.Replace(part)
	}
	at := base + "#/" + strings.Join(pointer, "/")
	schema, err := s.compiler.Compile(at)
	if err != nil {
		return fmt.Errorf("the OpenAPI file has no such answer: %w", err)
	}
	texts := [][]byte{body}
	if contentType == Lines {
		texts = bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	}
	for _, text := range texts {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return fmt.Errorf("not JSON: %w: %.200s", err, text)
		}
		if err := schema.Validate(value); err != nil {
			return fmt.Errorf("%w\n%s", err, text)
		}
	}
	return nil
}
