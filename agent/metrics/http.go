// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// httpMetrics are the metrics of the HTTP listener and its status page.
type httpMetrics struct{ refused, controls *prometheus.CounterVec }

func newHTTPMetrics(r *prometheus.Registry, opts Options) httpMetrics {
	m := httpMetrics{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: nameHTTPRefused,
			Help: "Requests and connections that the HTTP listener refused, by reason.",
		}, []string{"reason"}),
		controls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: nameHTTPControls,
			Help: "Controls pressed on the status page, by action and how it ended.",
		}, []string{"action", "outcome"}),
	}
	for _, reason := range opts.RefusedReasons {
		m.refused.WithLabelValues(reason)
	}
	for _, action := range opts.Actions {
		m.controls.WithLabelValues(action, "ok")
		m.controls.WithLabelValues(action, "failed")
	}
	r.MustRegister(m.refused, m.controls)
	return m
}

// ObserveHTTPRefused counts a refused request of the HTTP listener.
func (m *Metrics) ObserveHTTPRefused(reason string) { m.http.refused.WithLabelValues(reason).Inc() }

// ObserveHTTPControl counts a control pressed on the status page.
func (m *Metrics) ObserveHTTPControl(action, outcome string) {
	m.http.controls.WithLabelValues(action, outcome).Inc()
}
