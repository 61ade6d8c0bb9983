// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// understand decodes an answer of the daemon; what names it in the error.
func understand(raw json.RawMessage, what string, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("read %s: %w; is vipd of another version? `vipctl version` tells", what, err)
	}
	return nil
}

// indent keeps the daemon's JSON as it is, unknown fields too.
func indent(raw json.RawMessage) (string, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

// raw prints an answer as the daemon gave it.
func (p *program) raw(answer json.RawMessage) error {
	text, err := indent(answer)
	if err == nil {
		p.printf("%s", text)
	}
	return err
}

// json prints an answer that was put together here.
func (p *program) json(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return p.raw(raw)
}
