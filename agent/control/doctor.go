// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"net/http"
	"strconv"

	"vipd/agent/control/api"
)

// doctor looks closer. It is no verb although it asks the segment for addresses, as any
// host may: whoever may read may call it, and it ends when the client hangs up.
func (s *Server) doctor(ctx context.Context, r *http.Request) (any, error) {
	seconds := 0
	if q := r.URL.Query(); q.Has("seconds") {
		var err error
		if seconds, err = strconv.Atoi(q.Get("seconds")); err != nil || seconds < api.MinDoctorSeconds || seconds > api.MaxDoctorSeconds {
			return nil, api.Errorf(api.CodeBadRequest, "seconds is %.20q; allowed are %d..%d", q.Get("seconds"), api.MinDoctorSeconds, api.MaxDoctorSeconds)
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
