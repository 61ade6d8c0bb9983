// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"net/http"

	"vipd/agent/control/api"
)

func (s *Server) checks(ctx context.Context, _ *http.Request) (any, error) {
	c, err := s.backend.Checks(ctx)
	if c.Checks == nil {
		c.Checks = []api.Check{}
	}
	return c, err
}

func (s *Server) runCheck(ctx context.Context, r *http.Request) (any, error) {
	return s.backend.RunCheck(ctx, r.PathValue("name"))
}
