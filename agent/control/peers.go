// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"net/http"

	"vipd/agent/control/api"
)

func (s *Server) forgetPeer(ctx context.Context, _ *http.Request, request []byte) (any, error) {
	var f api.ForgetPeer
	err := decodeObject(request, member{"address", &f.Address, true}, member{"group", &f.Group, false})
	if err != nil {
		return nil, err
	}
	if _, err := f.Source(); err != nil {
		return nil, err
	}
	return s.backend.ForgetPeer(ctx, f)
}
