// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"vipd/agent/control/api"
)

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		return body, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, api.Errorf(api.CodeTooLarge, "the request body exceeds %d bytes", limit)
	}
	return nil, api.Errorf(api.CodeBadRequest, "read the request body: %v", err)
}

// emptyBody accepts no body or an empty JSON object: a request for a newer daemon must not be applied
// in part.
func emptyBody(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	return decodeObject(body)
}

// member is one field of a request, with its destination.
type member struct {
	name     string
	into     any
	required bool
}

// decodeObject reads one JSON object with these members only: no unknown or repeated name, no null,
// nothing after it. encoding/json, also with DisallowUnknownFields, accepts a repeated name (the last
// one wins), names in any case, null, and text after the object.
func decodeObject(body []byte, members ...member) error {
	d := json.NewDecoder(bytes.NewReader(body))
	bad := func(err error) error {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return api.Errorf(api.CodeBadRequest, "the request body is not a JSON object: %v", err)
	}
	start, err := d.Token()
	if err != nil {
		return bad(err)
	}
	if start != json.Delim('{') {
		return bad(errors.New("it does not begin with {"))
	}
	var unknown, seen []string
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return bad(err)
		}
		name, ok := token.(string)
		if !ok {
			return bad(errors.New("a name is missing"))
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return bad(err)
		}
		i := slices.IndexFunc(members, func(m member) bool { return m.name == name })
		switch {
		case i < 0:
			unknown = append(unknown, name)
			continue
		case slices.Contains(seen, name):
			return api.Errorf(api.CodeBadRequest, "%s is given more than once in the request body", name)
		}
		seen = append(seen, name)
		if err := fill(members[i], value); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return bad(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad(errors.New("text follows it"))
	}
	return complete(members, seen, unknown)
}

func fill(m member, value json.RawMessage) error {
	want := "a string"
	switch m.into.(type) {
	case *int:
		want = "an integer"
	case *bool:
		want = "true or false"
	}
	if bytes.Equal(value, []byte("null")) || json.Unmarshal(value, m.into) != nil {
		return api.Errorf(api.CodeBadRequest, "%s is %.100s in the request body; it must be %s", m.name, value, want)
	}
	return nil
}

func complete(members []member, seen, unknown []string) error {
	if len(unknown) > 0 {
		known := "none are allowed here"
		if len(members) > 0 {
			names := make([]string, len(members))
			for i, m := range members {
				names[i] = m.name
			}
			known = "allowed are " + strings.Join(names, ", ")
		}
		slices.Sort(unknown)
		return api.Errorf(api.CodeBadRequest,
			"unknown fields in the request body: %.200s; %s", strings.Join(unknown, ", "), known)
	}
	for _, m := range members {
		if m.required && !slices.Contains(seen, m.name) {
			return api.Errorf(api.CodeBadRequest, "%s is missing in the request body", m.name)
		}
	}
	return nil
}
