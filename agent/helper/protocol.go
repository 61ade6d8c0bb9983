// SPDX-License-Identifier: Apache-2.0

// Package helper runs the operator's commands, the programs of checks and hooks, outside the daemon's
// sandbox. The daemon asks for a command by name over a unix socket. The helper, an ordinary root
// process, runs it only if the config file, which only root can change, has that command under that
// name. So a compromised daemon gains nothing from the helper but running those commands.
//
// One connection is one request. The command is killed when the connection ends, so that it never
// outlives the daemon. If the helper does not start the command, for whatever reason, it answers
// unable, and the daemon runs the command itself, in its sandbox.
package helper

import (
	"encoding/json"
	"errors"
	"io"
	"syscall"

	"vipd/agent/command"
)

// maxMessage is the size limit of a request or answer: a hook gets the addresses of its group, up to
// 16,384.
const maxMessage = 2 << 20

// request is one line of JSON with either a job or a path.
type request struct {
	// Version is the client's build: a helper of another build ends, so that its successor starts.
	Version string       `json:"version"`
	Job     *command.Job `json:"job,omitempty"`
	// Examine is the path of a program of the config to examine on the host.
	Examine string `json:"examine,omitempty"`
}

// answer is one line of JSON.
type answer struct {
	// Begun is sent before the command starts; the rest follows after it has ended.
	Begun bool `json:"begun,omitempty"`
	// Stale means that the helper has another version and ends: ask again.
	Stale bool `json:"stale,omitempty"`
	// Unable is the reason why the helper did not try to start the command.
	Unable string `json:"unable,omitempty"`
	// NotStarted is the text of a [command.NotStartedError].
	NotStarted string `json:"not_started,omitempty"`
	// Exit is the result of the command; absent with status 0.
	Exit *command.ExitError `json:"exit,omitempty"`
	// Other is the text of any other error of [command.Run].
	Other  string          `json:"other,omitempty"`
	Output []byte          `json:"output,omitempty"`
	Cut    bool            `json:"cut,omitempty"`
	Faults []command.Fault `json:"faults,omitempty"`
}

// toAnswer returns the answer for the result of a job.
func toAnswer(res command.Result) answer {
	a := answer{Output: res.Output, Cut: res.Cut}
	if res.Err == nil {
		return a
	}
	if absent, ok := errors.AsType[*command.NotStartedError](res.Err); ok {
		a.NotStarted = absent.Error()
	} else if exit, ok := errors.AsType[*command.ExitError](res.Err); ok {
		a.Exit = exit
	} else {
		a.Other = res.Err.Error()
	}
	return a
}

// result returns the result of a job; it is the inverse of toAnswer.
func (a *answer) result() command.Result {
	res := command.Result{Output: a.Output, Cut: a.Cut}
	switch {
	case a.NotStarted != "":
		res.Err = &command.NotStartedError{Err: errors.New(a.NotStarted)}
	case a.Exit != nil:
		res.Err = a.Exit
	case a.Other != "":
		res.Err = errors.New(a.Other)
	}
	return res
}

func send(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// messages returns a decoder for the messages of the other end.
func messages(r io.Reader) *json.Decoder { return json.NewDecoder(io.LimitReader(r, maxMessage)) }

// gone reports whether the error means that the other end closed the connection.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
