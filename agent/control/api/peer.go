// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
)

// ForgetPeer is the body of POST /v1/peers/forget.
type ForgetPeer struct {
	// Address is the source address of the peer's advertisements.
	Address string `json:"address"`
	// Group is the group in which it is forgotten, such as eth0@1; empty means all.
	Group string `json:"group,omitempty"`
}

// Source returns the address, or why it is not one, as an [*Error].
func (f ForgetPeer) Source() (netip.Addr, error) {
	addr, err := netip.ParseAddr(f.Address)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, Errorf(CodeBadRequest, "%.100q is not an IP address; give the source address of the peer's "+
			"advertisements, such as 192.0.2.12 or fe80::12", f.Address)
	}
	return addr.Unmap(), nil
}

// PeerForgotten is the answer to POST /v1/peers/forget.
type PeerForgotten struct {
	// Groups are those in which the peer was forgotten.
	Groups []string `json:"groups"`
	// Message is a sentence for the operator. May be empty.
	Message string `json:"message,omitempty"`
}

// ForgetPeer makes the daemon believe advertisements of an address without a trailer again. An address that is not
// remembered is an [*Error] with [CodeNotFound].
func (c *Client) ForgetPeer(ctx context.Context, f ForgetPeer) (PeerForgotten, error) {
	body, err := json.Marshal(f)
	if err != nil {
		return PeerForgotten{}, fmt.Errorf("write request: %w", err)
	}
	return send[PeerForgotten](ctx, c, http.MethodPost, "/v1/peers/forget", body)
}
