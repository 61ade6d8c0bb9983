// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"net/http"

	"vipd/agent/control/api"
)

func (s *Server) demotions(ctx context.Context, _ *http.Request) (any, error) {
	d, err := s.backend.Demotions(ctx)
	if d.Demotions == nil {
		d.Demotions = []api.Demotion{}
	}
	return d, err
}

func (s *Server) addDemotion(ctx context.Context, _ *http.Request, request []byte) (any, error) {
	var d api.NewDemotion
	err := decodeObject(request,
		member{"name", &d.Name, true}, member{"value", &d.Value, true},
		member{"for", &d.For, false}, member{"reason", &d.Reason, false})
	if err != nil {
		return nil, err
	}
	if err := d.Check(); err != nil {
		return nil, err
	}
	return s.backend.AddDemotion(ctx, d)
}

func (s *Server) removeDemotion(ctx context.Context, r *http.Request) (any, error) {
	name := r.PathValue("name")
	if err := api.CheckRemoval(name); err != nil {
		return nil, err
	}
	return s.backend.RemoveDemotion(ctx, name)
}
