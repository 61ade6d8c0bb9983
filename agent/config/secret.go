// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a password that is redacted in prints, logs and JSON. Two secrets are equal (==)
// if their passwords are.
type Secret struct{ s string }

// NewSecret wraps a password.
func NewSecret(password []byte) Secret { return Secret{s: string(password)} }

// Bytes returns the password itself.
func (s Secret) Bytes() []byte { return []byte(s.s) }

// String shows neither the password nor its length.
func (Secret) String() string { return redacted }

// GoString is String.
func (Secret) GoString() string { return redacted }

// Format is String for every verb; without it %d would print the contents.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) } // fmt.State never fails

// LogValue is String for slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is String for JSON, TOML and the like.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
