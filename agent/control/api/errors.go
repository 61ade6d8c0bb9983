// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"strings"
	"time"
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
	CodeNoGroups         = "no_groups"
	CodeNoRoom           = "no_room"
	CodeWithdrawn        = "withdrawn"
	CodeInternal         = "internal"
)

// Error is a refusal by the daemon, in JSON {"error":{"code","message"}}.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Problems lists the single faults if there are several, such as those of a config file.
	Problems []string `json:"problems,omitempty"`
	// Status is the HTTP status of the answer; 0 means that of Code.
	Status int `json:"-"`
}

// Error returns the message and the single faults, one per line.
func (e *Error) Error() string {
	if len(e.Problems) == 0 {
		return e.Message
	}
	return e.Message + "\n  " + strings.Join(e.Problems, "\n  ")
}

// Errorf returns an [Error] with a code.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// unprintable matches characters that could be a terminal's control sequence.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// ErrorBody is the JSON of a refused request.
type ErrorBody struct {
	Error *Error `json:"error"`
}

// UnreachableError reports that no daemon answers on a socket.
type UnreachableError struct {
	Socket string
	Err    error
	// Silent is how long the client waited for a daemon that has the socket open; 0 if there is none.
	Silent time.Duration
}

// Error names the socket and explains how to start the daemon.
func (e *UnreachableError) Error() string {
	if e.Silent > 0 {
		return fmt.Sprintf("vipd runs (%s is open), but gave no answer in time (%v); a command may still take effect\n"+
			"check `vipctl status`, its log (`journalctl -u vipd`), and whether its disk responds", e.Socket, e.Silent)
	}
	return fmt.Sprintf("vipd is not reachable at %s: %v\n"+
		"start it with `systemctl start vipd` (or run vipd), or name its socket with --socket PATH or VIPD_SOCKET",
		e.Socket, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// PermissionError reports that the socket exists and this user may not open it.
type PermissionError struct {
	Socket string
	Err    error
}

// Error names the permission that the caller lacks.
func (e *PermissionError) Error() string {
	return fmt.Sprintf("not allowed to open vipd's socket %s: %v\n"+
		"run the command as root; to read, join the group of [control] group in vipd.toml (usually `usermod -aG vipd USER`, "+
		"then log in again)", e.Socket, e.Err)
}

// Unwrap returns the cause.
func (e *PermissionError) Unwrap() error { return e.Err }
