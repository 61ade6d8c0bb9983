// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"vipd/agent/control/api"
)

// checkParameters refuses unknown and repeated parameters.
func checkParameters(r *http.Request, known []string) error {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return api.Errorf(api.CodeBadRequest, "the parameters of the URL cannot be read: %v", err)
	}
	for key, values := range q {
		switch {
		case !slices.Contains(known, key) && len(known) == 0:
			return api.Errorf(api.CodeBadRequest, "there is no parameter %.50q; none are allowed here", key)
		case !slices.Contains(known, key):
			return api.Errorf(api.CodeBadRequest, "there is no parameter %.50q; allowed are %s", key, strings.Join(known, ", "))
		case len(values) > 1:
			return api.Errorf(api.CodeBadRequest, "%s is given more than once; keep one", key)
		}
	}
	return nil
}
