// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/ordinary"
)

const (
	// nodeTimeout is how long another node may take to answer. An answer is reused for nodeFresh,
	// by any number of pages.
	nodeTimeout = 2 * time.Second
	nodeFresh   = 3 * time.Second
	// nodeStale is the age from which an answer is no longer shown.
	nodeStale = 10 * time.Second
	// maxNodeBytes is more than 16,384 addresses need.
	maxNodeBytes = 32 << 20
)

// other is the answer of another node.
type other struct {
	url string
	// status is nil if there is no valid answer; problem then explains why.
	status  *api.Status
	problem string
	// reported is true if the status is made of hellos: it has no groups of which the node did not report, and is some
	// seconds old. differences are those that the hellos show.
	reported    bool
	differences []api.Difference
	// node is the name of one that no longer reports.
	node string
	// byName and byAddress index its groups; the latter by VHID and address.
	byName    map[string]*api.Group
	byAddress map[place]*api.Group
}

type place struct {
	vhid    int
	address string
}

func newOther(url string, st *api.Status) other {
	o := other{url: url, status: st, byName: map[string]*api.Group{}, byAddress: map[place]*api.Group{}}
	for i := range st.Groups {
		g := &st.Groups[i]
		o.byName[g.Name] = g
		for _, a := range g.Addresses {
			o.byAddress[place{g.VHID, a}] = g
		}
	}
	return o
}

func (o *other) name() string {
	if o.status != nil && o.status.Node != "" {
		return o.status.Node
	}
	if o.node != "" {
		return o.node
	}
	if u, err := url.Parse(o.url); err == nil {
		return u.Host
	}
	return o.url
}

// match returns the same group of the other node: the one with that name, else one with the same
// VHID and an address in common, since interface names differ between hosts.
func (o *other) match(g *api.Group) (*api.Group, bool) {
	if x, ok := o.byName[g.Name]; ok {
		return x, true
	}
	for _, a := range g.Addresses {
		if x, ok := o.byAddress[place{g.VHID, a}]; ok {
			return x, true
		}
	}
	return nil, false
}

// nodes reads the status of other nodes, only while a page needs it and once at a time.
type nodes struct {
	urls   []string
	client *http.Client

	mu      sync.Mutex
	last    []other
	asked   time.Time
	running chan struct{} // closed when the answers are there; nil while no request is running
	asking  sync.WaitGroup
}

func newNodes(urls []string) *nodes {
	return &nodes{urls: urls, client: &http.Client{
		Timeout: nodeTimeout,
		// Only URLs from the config are asked.
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("it answered with a redirect, which is not followed")
		},
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: nodeTimeout, MaxResponseHeaderBytes: maxHeaderBytes,
		},
	}}
}

// look returns the last answers of the other nodes, and asks again if they are no longer fresh.
// It waits only if the last answers are too old to show: a live page must not stall because
// another node does.
func (n *nodes) look(ctx context.Context) []other {
	if len(n.urls) == 0 {
		return nil
	}
	n.mu.Lock()
	age := moment().Sub(n.asked)
	if n.running == nil && age >= nodeFresh {
		n.running = make(chan struct{})
		n.asking.Go(func() { n.ask(context.WithoutCancel(ctx)) }) // other pages wait for it too
	}
	last, running := n.last, n.running
	n.mu.Unlock()
	if running == nil || last != nil && age < nodeStale {
		return last
	}
	_ = ordinary.Outside(ctx, func() { // the answer is worth a page without a turn
		select {
		case <-running:
		case <-ctx.Done():
		}
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last
}

// ask asks all nodes in parallel and keeps the answers.
func (n *nodes) ask(ctx context.Context) {
	got := make([]other, len(n.urls))
	var all sync.WaitGroup
	for i, u := range n.urls {
		all.Go(func() {
			st, err := n.fetch(ctx, u)
			if err != nil {
				got[i] = other{url: u, problem: err.Error()}
				return
			}
			got[i] = newOther(u, st)
		})
	}
	all.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last, n.asked = got, moment()
	close(n.running)
	n.running = nil
}

// wait returns when no request is running.
func (n *nodes) wait() { n.asking.Wait() }

func (n *nodes) fetch(ctx context.Context, base string) (*api.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/status", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := n.client.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 200))
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("it answered %s: %s", resp.Status, text)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxNodeBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxNodeBytes:
		return nil, fmt.Errorf("its status is larger than %d bytes", maxNodeBytes)
	}
	var st api.Status
	if err := json.Unmarshal(body, &st); err != nil {
		return nil, fmt.Errorf("its status cannot be read: %w", err)
	}
	if st.Version == "" {
		return nil, errors.New("its answer is not the status of a vipd")
	}
	return &st, nil
}
