// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// MaxHistory is how many transitions the daemon remembers.
const MaxHistory = 1000

// Transition is one change of state of a group.
type Transition struct {
	Time  time.Time `json:"time"`
	Group string    `json:"group"`
	From  string    `json:"from"`
	To    string    `json:"to"`
	// Reason is the transition reason, as in [Group.Reason].
	Reason string `json:"reason"`
	// Detail is the sentence for people that explains INIT. May be empty.
	Detail string `json:"detail,omitempty"`
	// Cause is the advert that caused it; null if none did.
	Cause *Cause `json:"cause"`
	// LagSeconds is how long after it was due, or after its advert was received, the transition was made.
	LagSeconds float64 `json:"lag_seconds"`
	Generation uint64  `json:"generation"`
	// Hook is the run of the group's hook; null if it has none.
	Hook *HookRun `json:"hook,omitempty"`
	// Conflict is set in an entry that is not a transition: another host announced addresses of the group. From and To are
	// the group's state then, Reason is address_conflict.
	Conflict *Conflict `json:"conflict,omitempty"`
}

// ReasonAddressConflict is the reason of an entry with [Transition.Conflict].
const ReasonAddressConflict = "address_conflict"

// Conflict is a MAC that another host announced for addresses of a group.
type Conflict struct {
	MAC string `json:"mac"`
	// Source is the Ethernet source of the frame; absent if it is MAC.
	Source    string   `json:"source,omitempty"`
	Addresses []string `json:"addresses"`
}

// Outcomes as in [HookRun.Outcome].
const (
	HookWaiting     = "waiting"     // has not ended yet
	HookOK          = "ok"          // status 0
	HookFailed      = "failed"      // another status, or a signal
	HookTimeout     = "timeout"     // killed at hook_timeout
	HookNotStarted  = "not_started" // no such program, or not executable
	HookInterrupted = "interrupted" // vipd ended before it did
	HookSkipped     = "skipped"     // included in a later run, as the hook was too slow
)

// HookRun is the result of running the hook for a transition.
type HookRun struct {
	// Path is the executable.
	Path    string `json:"path"`
	Outcome string `json:"outcome"`
	// ExitCode is its exit status; -1 if it has none.
	ExitCode int `json:"exit_code"`
	// Started is when it was started; absent if it was not.
	Started         *time.Time `json:"started,omitempty"`
	DurationSeconds float64    `json:"duration_seconds"`
	// Output is the end of its output, at most 4 KiB; Truncated is true if there was more.
	Output    string `json:"output,omitempty"`
	Truncated bool   `json:"truncated,omitempty"`
	// Error is why the outcome is not ok.
	Error string `json:"error,omitempty"`
	// Skipped is how many earlier transitions this run also covers.
	Skipped int `json:"skipped,omitempty"`
}

// Cause is the advert that caused a transition.
type Cause struct {
	Address string `json:"address"`
	AdvBase int    `json:"advbase"`
	AdvSkew int    `json:"advskew"`
	Demote  int    `json:"demote"`
}

// History is the answer to GET /v1/history, oldest first.
type History struct {
	Transitions []Transition `json:"transitions"`
	// Damaged is how many lines of the file could not be read at start.
	Damaged int `json:"damaged,omitempty"`
	// Unsaved is why the file is behind; empty if everything is on disk.
	Unsaved string `json:"unsaved,omitempty"`
}

// Kinds as in [Event.Event].
const (
	EventBegin      = "begin"      // the first line of every stream
	EventTransition = "transition" // Transition
	EventHook       = "hook"       // Transition, with the outcome of its hook
	EventDemotion   = "demotion"   // Demotions
	EventSwitch     = "switch"     // Switches
	EventConflict   = "conflict"   // Transition, with its Conflict
	EventDropped    = "dropped"    // the last line for a client that was too slow
)

// Event is one line of GET /v1/events. Fields of other kinds are absent.
type Event struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"`
	// Node and Version are those of the daemon, in the first line only.
	Node    string `json:"node,omitempty"`
	Version string `json:"version,omitempty"`

	Transition *Transition `json:"transition,omitempty"`
	Demotions  *Demotions  `json:"demotions,omitempty"`
	Switches   *Switches   `json:"switches,omitempty"`
}

// Switches are the operator's switches after one of them changed.
type Switches struct {
	Enabled     bool `json:"enabled"`
	Maintenance bool `json:"maintenance"`
}

// History returns the newest n transitions of a group; 0 and "" mean all.
func (c *Client) History(ctx context.Context, group string, n int) (History, error) {
	return call[History](ctx, c, http.MethodGet, historyPath(group, n))
}

// RawHistory is [Client.History] as the daemon wrote it.
func (c *Client) RawHistory(ctx context.Context, group string, n int) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, http.MethodGet, historyPath(group, n))
}

func historyPath(group string, n int) string {
	q := url.Values{}
	if group != "" {
		q.Set("group", group)
	}
	if n > 0 {
		q.Set("n", strconv.Itoa(n))
	}
	if len(q) == 0 {
		return "/v1/history"
	}
	return "/v1/history?" + q.Encode()
}

// maxEvent bounds one line of a stream.
const maxEvent = 1 << 20

// Events calls each with every line of the stream of events, until ctx ends (it returns nil), each returns an error (it
// returns that), or the daemon ends the stream ([*UnreachableError]).
func (c *Client) Events(ctx context.Context, each func(line []byte) error) error {
	return c.lines(ctx, "/v1/events", "events", each)
}

// lines reads a stream of lines.
func (c *Client) lines(ctx context.Context, path, what string, each func(line []byte) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://vipd"+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set(VersionHeader, Version)
	tr := &http.Transport{
		DisableKeepAlives: true, ResponseHeaderTimeout: defaultTimeout,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: defaultTimeout}).DialContext(ctx, "unix", c.socket())
		},
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return c.explain(err)
		}
		return c.refusal(resp, body)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	// A line that the end of the connection cut off is ignored.
	lines.Split(func(data []byte, _ bool) (int, []byte, error) { return bufio.ScanLines(data, false) })
	for lines.Scan() {
		if line := bytes.TrimSpace(lines.Bytes()); len(line) > 0 {
			if err := each(line); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if err := lines.Err(); err != nil {
		return c.explain(err)
	}
	return &UnreachableError{Socket: c.socket(), Err: errors.New("it ended the stream of " + what)}
}
