// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"strings"
	"unicode"
)

// Codes of [Error]. They are stable; messages are not.
const (
	CodeBadRequest       = "bad_request"
	CodeForbidden        = "forbidden"
	CodeNotFound         = "not_found"
	CodeNoSuchGroup      = "no_such_group"
	CodeMethodNotAllowed = "method_not_allowed"
	CodeTooLarge         = "too_large"
	CodeInvalidConfig    = "invalid_config"
	CodeBusy             = "busy"
	CodeTimeout          = "timeout"
	CodeStopping         = "stopping"
	CodeReserved         = "reserved_name"
	CodeNoSuccessor      = "no_successor"
	CodeNotMaster        = "not_master"
	CodeWithdrawn        = "withdrawn"
	CodeNotImplemented   = "not_implemented"
	CodeInternal         = "internal"
)

// Error is a refusal by the daemon, on the wire {"error":{"code","message"}}.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Problems are the single faults when there are several, such as those of a
	// config file.
	Problems []string `json:"problems,omitempty"`
	// Status is the HTTP status of the answer; 0 lets the server choose by Code.
	Status int `json:"-"`
}

// Error is the message, and the single faults each on a line of its own.
func (e *Error) Error() string {
	if len(e.Problems) == 0 {
		return e.Message
	}
	return e.Message + "\n  " + strings.Join(e.Problems, "\n  ")
}

// Errorf makes an [Error] with a code.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// unprintable finds what could be an order to a terminal.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// ErrorBody is the JSON of a refused request.
type ErrorBody struct {
	Error *Error `json:"error"`
}

// UnreachableError says that no daemon answers on a socket.
type UnreachableError struct {
	Socket string
	Err    error
}

// Error names the socket and says how to start the daemon.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("vipd is not reachable at %s: %v\nstart it with `systemctl start vipd` (or run vipd), or name its socket with --socket PATH or VIPD_SOCKET",
		e.Socket, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// PermissionError says that the socket is there and this user may not open it.
type PermissionError struct {
	Socket string
	Err    error
}

// Error says what the caller lacks.
func (e *PermissionError) Error() string {
	return fmt.Sprintf("not allowed to open vipd's socket %s: %v\nrun the command as root, or join the group of [control] group in vipd.toml (usually `usermod -aG vipd USER`, then log in anew) to read",
		e.Socket, e.Err)
}

// Unwrap returns the cause.
func (e *PermissionError) Unwrap() error { return e.Err }
