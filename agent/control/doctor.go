// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"net/http"
	"strconv"

	"vipd/agent/control/api"
)

// doctor examines the node. It is a GET although it asks the segment for addresses, as any host may:
// users who may read may call it, and it ends when the client disconnects.
func (s *Server) doctor(ctx context.Context, r *http.Request) (any, error) {
	seconds := 0
	if q := r.URL.Query(); q.Has("seconds") {
		var err error
		seconds, err = strconv.Atoi(q.Get("seconds"))
		if err != nil || seconds < api.MinDoctorSeconds || seconds > api.MaxDoctorSeconds {
			return nil, api.Errorf(api.CodeBadRequest, "seconds is %.20q; allowed are %d..%d",
				q.Get("seconds"), api.MinDoctorSeconds, api.MaxDoctorSeconds)
		}
	}
	d, err := s.backend.Doctor(ctx, seconds)
	if d.Findings == nil {
		d.Findings = []api.Finding{}
	}
	if d.Checks == nil {
		d.Checks = []api.DoctorCheck{}
	}
	return d, err
}
