// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"net/http"

	"vipd/agent/control/api"
)

// optionalObject is [decodeObject] for a request that may have no body.
func optionalObject(body []byte, members ...member) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	return decodeObject(body, members...)
}

func (s *Server) enterMaintenance(ctx context.Context, _ *http.Request, request []byte) (any, error) {
	var m api.MaintenanceRequest
	if err := optionalObject(request, member{"wait", &m.Wait, false}, member{"force", &m.Force, false}); err != nil {
		return nil, err
	}
	switch {
	case m.Wait:
		return s.backend.EnterMaintenance(ctx, m.Force)
	case m.Force:
		return nil, api.Errorf(api.CodeBadRequest, "force has no effect without wait: set wait as well, or remove force")
	}
	ctx, cancel := context.WithTimeout(ctx, verbTimeout) // the route itself has no limit
	defer cancel()
	return s.backend.SetMaintenance(ctx, true)
}

func (s *Server) yield(ctx context.Context, r *http.Request, request []byte) (any, error) {
	var y api.YieldRequest
	if err := optionalObject(request, member{"force", &y.Force, false}); err != nil {
		return nil, err
	}
	return s.backend.Yield(ctx, r.PathValue("name"), y.Force)
}
