// SPDX-License-Identifier: Apache-2.0

package helper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"vipd/agent/command"
)

const (
	// examineTimeout limits an examination, which is part of reading the config.
	examineTimeout = 300 * time.Millisecond
	// killed is how long to wait for the answer of a helper that has to kill the command.
	killed = time.Second
	// maxTries limits the attempts when a helper ends: the next connection starts a new one.
	maxTries = 3
	retryGap = 50 * time.Millisecond
)

var (
	// errLost means that the helper ended while the command ran, which killed the command.
	errLost = errors.New("the helper that ran the command ended")
	// errEnding means that the helper ended before it began.
	errEnding = errors.New("the helper is ending")
)

// unreachableError means that no helper accepts connections.
type unreachableError struct {
	socket string
	err    error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("cannot reach the helper at %s (%v); run `systemctl start vipd-commands.socket`", e.socket, e.err)
}

// Client runs commands through a helper, and through Fallback if the helper does not start them.
type Client struct {
	// Socket is the path of the helper's socket.
	Socket string
	// Version is this build.
	Version string
	// Fallback runs the commands that the helper does not. Required.
	Fallback command.Runner
	// Log receives changes between the two; nil discards them.
	Log *slog.Logger

	deaf atomic.Bool // the last examination was not answered in time

	mu     sync.Mutex
	faults map[string]string // by request: why the helper did not do it
}

// Run implements [command.Runner].
func (c *Client) Run(ctx context.Context, job command.Job) command.Result {
	what := string(job.Kind) + " " + job.Name
	a, err := c.ask(ctx, request{Version: c.Version, Job: &job})
	switch {
	case err == nil:
		c.deaf.Store(false)
		c.note(what, nil)
		return a.result()
	case ctx.Err() != nil: // neither a killed command nor a hung helper has answered
		return command.Result{Err: ctx.Err()}
	case errors.Is(err, errLost):
		return command.Result{Err: err}
	}
	c.note(what, err)
	return c.Fallback.Run(ctx, job)
}

// Examine examines a program as the helper sees it, or as this process does if the helper does not
// answer.
func (c *Client) Examine(path string) []command.Fault {
	if c.deaf.Load() { // a config with many commands must not wait for each of them
		return command.Examine(path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), examineTimeout)
	defer cancel()
	a, err := c.ask(ctx, request{Version: c.Version, Examine: path})
	if _, unreachable := errors.AsType[*unreachableError](err); unreachable || err == nil {
		c.note("examination of programs", err)
	}
	if err != nil {
		c.deaf.Store(ctx.Err() != nil)
		return command.Examine(path)
	}
	return a.Faults
}

// Faults returns the reasons why the helper did not run commands, for status and doctor.
func (c *Client) Faults() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := map[string]bool{}
	var out []string
	for _, why := range c.faults {
		if !seen[why] {
			seen[why] = true
			out = append(out, why)
		}
	}
	slices.Sort(out)
	return out
}

// Forget clears the faults, after a reload has changed the commands.
func (c *Client) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.faults)
}

// note records whether the helper did what was requested.
func (c *Client) note(what string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.faults[what]
	if err == nil {
		delete(c.faults, what)
	} else {
		if c.faults == nil {
			c.faults = map[string]string{}
		}
		c.faults[what] = err.Error()
	}
	switch now := c.faults[what]; {
	case c.Log == nil || now == before:
	case now == "":
		c.Log.Info("runs outside the sandbox again", "what", what)
	default:
		c.Log.Warn("runs in the sandbox of vipd, where it may fail", "what", what, "why", now)
	}
}

// ask makes a request. The error is errLost if the command had begun; any other error means that it
// had not.
func (c *Client) ask(ctx context.Context, req request) (answer, error) {
	var a answer
	var err error
	for range maxTries {
		a, err = c.once(ctx, req)
		switch {
		case err == nil && a.Unable != "":
			return a, errors.New(a.Unable)
		case err == nil && !a.Stale:
			return a, nil
		case err != nil && !errors.Is(err, errLost) && !errors.Is(err, errEnding):
			return a, err
		}
		// A helper that ends is replaced by the next one; its commands are dead.
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(retryGap):
		}
	}
	if err == nil {
		err = errors.New("a helper of another version does not end; run `systemctl restart vipd-commands`")
	}
	return a, err
}

// once makes one attempt.
func (c *Client) once(ctx context.Context, req request) (answer, error) {
	var a answer
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.Socket)
	if err != nil {
		if oe, ok := errors.AsType[*net.OpError](err); ok {
			err = oe.Err
		}
		return a, &unreachableError{c.Socket, err}
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() {
		if u, ok := conn.(*net.UnixConn); ok {
			_ = u.CloseWrite() // the helper kills the command and answers with its result
		}
		_ = conn.SetDeadline(time.Now().Add(killed))
	})
	defer stop()
	err = send(conn, req)
	in := messages(conn)
	if err == nil {
		err = in.Decode(&a)
	}
	if begun := err == nil && a.Begun; begun {
		if err = in.Decode(&a); gone(err) {
			return a, errLost
		}
	}
	switch {
	case err == nil:
		return a, nil
	case gone(err):
		return a, errEnding
	}
	return a, fmt.Errorf("ask the helper at %s: %w", c.Socket, err)
}
