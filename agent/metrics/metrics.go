// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
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
	lag         prometheus.Histogram
	http        httpMetrics
	transitions pushed[atomic.Uint64]
	hookRuns    pushed[atomic.Uint64]
	hookSkipped pushed[atomic.Uint64]
	hookTook    pushed[took]
	encoders    sync.Pool // of *gzip.Writer, which take 0.8 MB each
}

// New registers every metric. The source is read at each scrape.
func New(src Source, opts Options) *Metrics {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	m := &Metrics{
		src: src, log: opts.Log,
		scrapes:  make(chan struct{}, maxScrapes),
		registry: prometheus.NewRegistry(),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    nameWakeupLag,
			Help:    "How late the agent's loop woke for a deadline.",
			Buckets: lagBuckets(),
		}),
	}
	m.encoders.New = newEncoder
	m.families = families(m.pushedFamilies())
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        nameBuildInfo,
		Help:        "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": opts.Version, "go_version": opts.GoVersion},
	})
	build.Set(1)
	m.http = newHTTPMetrics(m.registry, opts)
	m.registry.MustRegister(m.lag, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics in Prometheus' text format.
func (m *Metrics) Handler() http.Handler { return http.HandlerFunc(m.serve) }

// ObserveTransition counts one transition; states and reason as in the status JSON.
func (m *Metrics) ObserveTransition(ifname string, vhid uint8, from, to, reason string) {
	g := groupOf(ifname, vhid)
	m.transitions.at(g.key, label("from", from), g.iface, label("reason", reason), label("to", to), g.vhid).Add(1)
}

// ObserveWakeupLag records how late the loop woke for a deadline; early is 0.
func (m *Metrics) ObserveWakeupLag(d time.Duration) {
	m.lag.Observe(max(d, 0).Seconds())
}

// PrepareHook makes the series of a group's hook, so that they begin with 0.
func (m *Metrics) PrepareHook(ifname string, vhid uint8) {
	g := groupOf(ifname, vhid)
	for _, o := range hookOutcomes() {
		m.hookRuns.at(g.key, g.iface, label("outcome", o), g.vhid)
	}
	m.hookSkipped.at(g.key, g.iface, g.vhid)
	m.hookTook.at(g.key, g.iface, g.vhid)
}

// ObserveHook counts one run of a group's hook; took is 0 if it never ran.
func (m *Metrics) ObserveHook(ifname string, vhid uint8, outcome string, took time.Duration) {
	g := groupOf(ifname, vhid)
	m.hookRuns.at(g.key, g.iface, label("outcome", outcome), g.vhid).Add(1)
	if took > 0 {
		m.hookTook.at(g.key, g.iface, g.vhid).observe(took.Seconds())
	}
}

// ObserveHookSkipped counts a transition that a later run tells of.
func (m *Metrics) ObserveHookSkipped(ifname string, vhid uint8) {
	g := groupOf(ifname, vhid)
	m.hookSkipped.at(g.key, g.iface, g.vhid).Add(1)
}

// ForgetGroup drops what was pushed of a group that was taken out of the config.
func (m *Metrics) ForgetGroup(ifname string, vhid uint8) {
	g := groupOf(ifname, vhid)
	for _, p := range []interface{ forget(group string) }{&m.transitions, &m.hookRuns, &m.hookSkipped, &m.hookTook} {
		p.forget(g.key)
	}
}
