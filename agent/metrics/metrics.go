// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// maxScrapes bounds the scrapes that run at once; more are told 503.
const maxScrapes = 4

// Options of [New].
type Options struct {
	// Version and GoVersion are what vipd_build_info says.
	Version, GoVersion string
	// Log gets the errors of scrapes; nil discards them.
	Log *slog.Logger
}

// Metrics owns a registry of its own, so that nothing else can add to it. What is read
// from the source is written without the registry.
type Metrics struct {
	src         Source
	log         *slog.Logger
	families    []family
	scrapes     chan struct{} // a place for each that runs
	registry    *prometheus.Registry
	transitions *prometheus.CounterVec
	lag         prometheus.Histogram
}

// New registers every metric. The source is read at each scrape.
func New(src Source, opts Options) *Metrics {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	m := &Metrics{
		src: src, log: opts.Log, families: families(),
		scrapes:  make(chan struct{}, maxScrapes),
		registry: prometheus.NewRegistry(),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: nameTransitions,
			Help: "Transitions of a group by old state, new state and reason.",
		}, []string{"interface", "vhid", "from", "to", "reason"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    nameWakeupLag,
			Help:    "How late the agent's loop woke for a deadline.",
			Buckets: lagBuckets(),
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        nameBuildInfo,
		Help:        "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": opts.Version, "go_version": opts.GoVersion},
	})
	build.Set(1)
	m.registry.MustRegister(m.transitions, m.lag, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics in Prometheus' text format.
func (m *Metrics) Handler() http.Handler { return http.HandlerFunc(m.serve) }

// ObserveTransition counts one transition; states and reason as in the status JSON.
func (m *Metrics) ObserveTransition(ifname string, vhid uint8, from, to, reason string) {
	m.transitions.WithLabelValues(ifname, vhidLabel(vhid), from, to, reason).Inc()
}

// ObserveWakeupLag records how late the loop woke for a deadline; early is 0.
func (m *Metrics) ObserveWakeupLag(d time.Duration) {
	m.lag.Observe(max(d, 0).Seconds())
}

// ForgetGroup drops the transitions of a group that was taken out of the config.
func (m *Metrics) ForgetGroup(ifname string, vhid uint8) {
	m.transitions.DeletePartialMatch(prometheus.Labels{"interface": ifname, "vhid": vhidLabel(vhid)})
}
