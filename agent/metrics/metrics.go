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
	// RefusedReasons and Actions exist with 0 from the start: those of the status page.
	RefusedReasons, Actions []string
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
	http        httpMetrics
	hookRuns    *prometheus.CounterVec
	hookSkipped *prometheus.CounterVec
	hookTook    *prometheus.HistogramVec
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
	group := []string{"interface", "vhid"}
	m.hookRuns = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: nameHookRuns, Help: "Runs of a group's hook by how they ended.",
	}, append(group, "outcome"))
	m.hookSkipped = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: nameHookSkipped, Help: "Transitions that a later run of the hook told of as well, because it was too slow.",
	}, group)
	m.hookTook = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: nameHookDuration, Help: "How long runs of a group's hook took.", Buckets: hookBuckets(),
	}, group)
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        nameBuildInfo,
		Help:        "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": opts.Version, "go_version": opts.GoVersion},
	})
	build.Set(1)
	m.http = newHTTPMetrics(m.registry, opts)
	m.registry.MustRegister(m.transitions, m.lag, build, m.hookRuns, m.hookSkipped, m.hookTook,
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

// PrepareHook makes the series of a group's hook, so that they begin with 0.
func (m *Metrics) PrepareHook(ifname string, vhid uint8) {
	for _, o := range hookOutcomes() {
		m.hookRuns.WithLabelValues(ifname, vhidLabel(vhid), o)
	}
	m.hookSkipped.WithLabelValues(ifname, vhidLabel(vhid))
	m.hookTook.WithLabelValues(ifname, vhidLabel(vhid))
}

// ObserveHook counts one run of a group's hook; took is 0 if it never ran.
func (m *Metrics) ObserveHook(ifname string, vhid uint8, outcome string, took time.Duration) {
	m.hookRuns.WithLabelValues(ifname, vhidLabel(vhid), outcome).Inc()
	if took > 0 {
		m.hookTook.WithLabelValues(ifname, vhidLabel(vhid)).Observe(took.Seconds())
	}
}

// ObserveHookSkipped counts a transition that a later run tells of.
func (m *Metrics) ObserveHookSkipped(ifname string, vhid uint8) {
	m.hookSkipped.WithLabelValues(ifname, vhidLabel(vhid)).Inc()
}

// ForgetGroup drops what was pushed of a group that was taken out of the config.
func (m *Metrics) ForgetGroup(ifname string, vhid uint8) {
	of := prometheus.Labels{"interface": ifname, "vhid": vhidLabel(vhid)}
	for _, v := range []interface{ DeletePartialMatch(prometheus.Labels) int }{m.transitions, m.hookRuns, m.hookSkipped, m.hookTook} {
		v.DeletePartialMatch(of)
	}
}
