// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"net/http"
	"strconv"

	"vipd/agent/control/api"
)

const (
	defaultConfigName = "request"
	defaultConfigMode = 0o600
	maxConfigName     = 4096
)

// plan reads a config as the request body, so that any HTTP client can send a file. It is a POST because
// it reads password files, which users who may only read must not. No body means the daemon's own file;
// to plan an empty config, send a comment.
func (s *Server) plan(ctx context.Context, r *http.Request, request []byte) (any, error) {
	q := r.URL.Query()
	if len(request) == 0 && len(q) == 0 {
		return s.backend.Plan(ctx, nil)
	}
	file := &api.ConfigFile{Name: defaultConfigName, Mode: defaultConfigMode, Text: request}
	if q.Has("name") {
		name := q.Get("name")
		if name == "" || len(name) > maxConfigName {
			return nil, api.Errorf(api.CodeBadRequest, "name is %d bytes long; allowed are 1..%d", len(name), maxConfigName)
		}
		file.Name = name
	}
	if q.Has("mode") {
		text := q.Get("mode")
		mode, err := strconv.ParseUint(text, 8, 9)
		if err != nil {
			return nil, api.Errorf(api.CodeBadRequest,
				"mode is %.20q; it must be the permission bits of the file in octal, such as 640", text)
		}
		file.Mode = uint32(mode)
	}
	return s.backend.Plan(ctx, file)
}
