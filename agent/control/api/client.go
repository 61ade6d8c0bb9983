// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
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
	// defaultTimeout is longer than the longest verb: a planned handover speaks on
	// for at most 5 s.
	defaultTimeout = 30 * time.Second
	// maxAnswer bounds what a client reads: 16,384 addresses need some 8 MiB.
	maxAnswer = 64 << 20
)

// Client speaks to a vipd over its unix socket, one connection a request. The zero
// value is ready to use and speaks to [DefaultSocket].
type Client struct {
	// Socket is the path of the daemon's socket; empty means [DefaultSocket].
	Socket string
	// Timeout bounds one request with its answer; 0 means 30 s.
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

// Disable switches the node off until Enable or a reboot.
func (c *Client) Disable(ctx context.Context) (Change, error) {
	return call[Change](ctx, c, http.MethodPost, "/v1/disable")
}

// Enable ends Disable.
func (c *Client) Enable(ctx context.Context) (Change, error) {
	return call[Change](ctx, c, http.MethodPost, "/v1/enable")
}

// EnterMaintenance asks the peers to take over, persistently. When it returns
// without error the mode is on disk.
func (c *Client) EnterMaintenance(ctx context.Context) (Change, error) {
	return call[Change](ctx, c, http.MethodPost, "/v1/maintenance/enter")
}

// LeaveMaintenance ends EnterMaintenance.
func (c *Client) LeaveMaintenance(ctx context.Context) (Change, error) {
	return call[Change](ctx, c, http.MethodPost, "/v1/maintenance/leave")
}

// Maintenance returns the node's switches and changes nothing.
func (c *Client) Maintenance(ctx context.Context) (Change, error) {
	return call[Change](ctx, c, http.MethodGet, "/v1/maintenance")
}

// Reload makes the daemon read its config again and apply the difference.
func (c *Client) Reload(ctx context.Context) (Reload, error) {
	return call[Reload](ctx, c, http.MethodPost, "/v1/reload")
}

// Demotions returns the node's demotions.
func (c *Client) Demotions(ctx context.Context) (Demotions, error) {
	return call[Demotions](ctx, c, http.MethodGet, "/v1/demotions")
}

// AddDemotion adds a demotion, or replaces the one of that name.
func (c *Client) AddDemotion(ctx context.Context, d NewDemotion) (DemotionChange, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return DemotionChange{}, fmt.Errorf("write request: %w", err)
	}
	return send[DemotionChange](ctx, c, http.MethodPost, "/v1/demotions", body)
}

// RemoveDemotion takes a demotion off; none of that name is no error.
func (c *Client) RemoveDemotion(ctx context.Context, name string) (DemotionChange, error) {
	if err := CheckRemoval(name); err != nil { // not every name can stand in a path
		return DemotionChange{}, err
	}
	return call[DemotionChange](ctx, c, http.MethodDelete, "/v1/demotions/"+url.PathEscape(name))
}

// ResetDemotions takes all demotions off that are the operator's or for errors.
func (c *Client) ResetDemotions(ctx context.Context) (DemotionChange, error) {
	return call[DemotionChange](ctx, c, http.MethodPost, "/v1/demotions/reset")
}

// RawDemotions is [Client.Demotions] as the daemon wrote it.
func (c *Client) RawDemotions(ctx context.Context) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, http.MethodGet, "/v1/demotions")
}

// RawStatus returns the JSON of GET /v1/status as the daemon wrote it, with fields
// that this client may not know.
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

// call makes a request without a body.
func call[T any](ctx context.Context, c *Client, method, path string) (T, error) {
	return send[T](ctx, c, method, path, nil)
}

// send makes one request. Errors are [*UnreachableError], [*PermissionError],
// [*Error] or, for a daemon that speaks nonsense, plain.
func send[T any](ctx context.Context, c *Client, method, path string, request []byte) (T, error) {
	var out T
	body, err := c.roundTrip(ctx, method, path, request)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return out, fmt.Errorf("read the answer to %s %s from %s: %w; is it a vipd of another version?", method, path, c.socket(), err)
	}
	return out, nil
}

func (c *Client) roundTrip(ctx context.Context, method, path string, request []byte) ([]byte, error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
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

// refusal is the error in an answer.
func (c *Client) refusal(resp *http.Response, body []byte) error {
	var e ErrorBody
	if json.Unmarshal(body, &e) != nil || e.Error == nil {
		return fmt.Errorf("%s answered %s %s with %s: %.200s; is that vipd's socket?",
			c.socket(), resp.Request.Method, resp.Request.URL.RequestURI(), resp.Status, bytes.TrimSpace(body))
	}
	e.Error.Status = resp.StatusCode
	return e.Error
}

// explain types the failure of a connection. What happens after the dial (the
// daemon died under the request) is unreachable as well: there was no answer.
func (c *Client) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // the outer text names the made-up URL, which helps nobody
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &UnreachableError{Socket: c.socket(), Err: errors.New("no answer in time")}
	}
	if oe, ok := errors.AsType[*net.OpError](err); ok && oe.Op == "dial" {
		if errors.Is(err, fs.ErrPermission) {
			return &PermissionError{Socket: c.socket(), Err: oe.Err}
		}
		err = oe.Err
	}
	return &UnreachableError{Socket: c.socket(), Err: err}
}
