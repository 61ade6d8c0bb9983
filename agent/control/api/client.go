// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	// defaultTimeout is longer than the longest verb: in a planned handover this node keeps advertising for at most 5 s.
	defaultTimeout = 30 * time.Second
	// maxAnswer bounds what a client reads: 16,384 addresses need about 8 MiB.
	maxAnswer = 64 << 20
)

// Client connects to a vipd by its unix socket, with one connection per request. The zero value is ready to use and
// connects to [DefaultSocket].
type Client struct {
	// Socket is the path of the daemon's socket; empty means [DefaultSocket].
	Socket string
	// Timeout bounds one request and its answer; 0 means 30 s.
	Timeout time.Duration
}

// Status returns the state of the node and all its groups.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, http.MethodGet, "/v1/status")
}

// Group returns one group by its name, such as eth0@1.
func (c *Client) Group(ctx context.Context, name string) (Group, error) {
	return call[Group](ctx, c, http.MethodGet, groupPath(name))
}

// Disable disables CARP on the node until Enable or a reboot.
func (c *Client) Disable(ctx context.Context) (Change, error) {
	return call[Change](ctx, c, http.MethodPost, "/v1/disable")
}

// Enable switches the node on again after Disable.
func (c *Client) Enable(ctx context.Context) (Change, error) {
	return call[Change](ctx, c, http.MethodPost, "/v1/enable")
}

// EnterMaintenance enters maintenance mode: the peers are asked to take over. When it returns without error the mode is
// saved to disk.
func (c *Client) EnterMaintenance(ctx context.Context) (Change, error) {
	return call[Change](ctx, c, http.MethodPost, "/v1/maintenance/enter")
}

// LeaveMaintenance leaves maintenance mode.
func (c *Client) LeaveMaintenance(ctx context.Context) (Change, error) {
	return call[Change](ctx, c, http.MethodPost, "/v1/maintenance/leave")
}

// Maintenance returns the node's switches and changes nothing.
func (c *Client) Maintenance(ctx context.Context) (Change, error) {
	return call[Change](ctx, c, http.MethodGet, "/v1/maintenance")
}

// Reload makes the daemon read its config again and apply the difference. Without force, a config without groups is
// refused while groups run, with [CodeNoGroups].
func (c *Client) Reload(ctx context.Context, force bool) (Reload, error) {
	path := "/v1/reload"
	if force {
		path += "?force=true"
	}
	return call[Reload](ctx, c, http.MethodPost, path)
}

// Demotions returns the node's demotions.
func (c *Client) Demotions(ctx context.Context) (Demotions, error) {
	return call[Demotions](ctx, c, http.MethodGet, "/v1/demotions")
}

// AddDemotion adds a demotion, or replaces the one with that name.
func (c *Client) AddDemotion(ctx context.Context, d NewDemotion) (DemotionChange, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return DemotionChange{}, fmt.Errorf("write request: %w", err)
	}
	return send[DemotionChange](ctx, c, http.MethodPost, "/v1/demotions", body)
}

// RemoveDemotion removes a demotion. It is not an error if there is none of that name.
func (c *Client) RemoveDemotion(ctx context.Context, name string) (DemotionChange, error) {
	if err := CheckRemoval(name); err != nil { // not every name can be part of a path
		return DemotionChange{}, err
	}
	return call[DemotionChange](ctx, c, http.MethodDelete, "/v1/demotions/"+url.PathEscape(name))
}

// ResetDemotions removes the operator's demotions and those for errors.
func (c *Client) ResetDemotions(ctx context.Context) (DemotionChange, error) {
	return call[DemotionChange](ctx, c, http.MethodPost, "/v1/demotions/reset")
}

// RawDemotions is [Client.Demotions] as the daemon wrote it.
func (c *Client) RawDemotions(ctx context.Context) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, http.MethodGet, "/v1/demotions")
}

// RawStatus is [Client.Status] as the daemon wrote it, with fields that this client may not know.
func (c *Client) RawStatus(ctx context.Context) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, http.MethodGet, "/v1/status")
}

// RawGroup is [Client.Group] as the daemon wrote it.
func (c *Client) RawGroup(ctx context.Context, name string) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, http.MethodGet, groupPath(name))
}

func groupPath(name string) string { return "/v1/groups/" + url.PathEscape(name) }

func (c *Client) socket() string {
	if c.Socket == "" {
		return DefaultSocket
	}
	return c.Socket
}

// call sends a request without a body.
func call[T any](ctx context.Context, c *Client, method, path string) (T, error) {
	return send[T](ctx, c, method, path, nil)
}

// send sends one request. Errors are [*UnreachableError], [*PermissionError], [*Error] or, if the answer is not
// understood, plain ones.
func send[T any](ctx context.Context, c *Client, method, path string, request []byte) (T, error) {
	var out T
	body, err := c.roundTrip(ctx, method, path, request)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return out, fmt.Errorf("read the answer to %s %s from %s: %w; do the vipctl and vipd versions match?",
			method, path, c.socket(), err)
	}
	return out, nil
}

func (c *Client) timeout() time.Duration { return cmp.Or(c.Timeout, defaultTimeout) }

func (c *Client) roundTrip(ctx context.Context, method, path string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, method, "http://vipd"+path, bytes.NewReader(request))
	if err != nil {
		return nil, fmt.Errorf("make request %s %s: %w", method, path, err)
	}
	req.Header.Set(VersionHeader, Version)
	tr := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.socket())
		},
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode < 300 {
		return body, nil
	}
	return nil, c.refusal(resp, body)
}

// refusal returns the error in an answer.
func (c *Client) refusal(resp *http.Response, body []byte) error {
	var e ErrorBody
	if json.Unmarshal(body, &e) != nil || e.Error == nil {
		return fmt.Errorf("%s answered %s %s with %s: %.200s; is that vipd's socket?",
			c.socket(), resp.Request.Method, resp.Request.URL.RequestURI(), resp.Status, bytes.TrimSpace(body))
	}
	e.Error.Status = resp.StatusCode
	return e.Error
}

// explain returns a typed error for a failed connection. A failure after the dial (the daemon died during the request)
// is unreachable as well: there was no answer.
func (c *Client) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // the outer text has the URL, which is not a real one
	}
	if errors.Is(err, context.DeadlineExceeded) {
		// The socket of a daemon that has exited refuses at once.
		return &UnreachableError{Socket: c.socket(), Err: errors.New("no answer in time"), Silent: c.timeout()}
	}
	if oe, ok := errors.AsType[*net.OpError](err); ok && oe.Op == "dial" {
		if errors.Is(err, fs.ErrPermission) {
			return &PermissionError{Socket: c.socket(), Err: oe.Err}
		}
		err = oe.Err
	}
	return &UnreachableError{Socket: c.socket(), Err: err}
}
