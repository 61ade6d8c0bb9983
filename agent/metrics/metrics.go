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

// maxScrapes bounds the scrapes that run at once; a further one is answered with 503.
const maxScrapes = 4

// Options of [New].
type Options struct {
	// Version and GoVersion are labels of vipd_build_info.
	Version, GoVersion string
	// RefusedReasons and Actions are those of the status page; their counters start at 0.
	RefusedReasons, Actions []string
	// Log receives the errors of scrapes; nil discards them.
	Log *slog.Logger
}

// Metrics serves all metrics. Those of the process are in a registry of the library, which nothing
// else can add to; those of groups, addresses and interfaces are written by [page].
type Metrics struct {
	src         Source
	log         *slog.Logger
	families    []family
	scrapes     chan struct{} // one element per scrape that runs
	registry    *prometheus.Registry
	lag         prometheus.Histogram
	slow        prometheus.Counter
	dropped     prometheus.Counter
	http        httpMetrics
	transitions *pushed[*atomic.Uint64]
	hookRuns    *pushed[*atomic.Uint64]
	hookSkipped *pushed[*atomic.Uint64]
	hookTook    *pushed[prometheus.Histogram]
	encoders    sync.Pool // of *gzip.Writer, each of which takes 0.8 MB
	made        made
}

// New registers every metric. The source is read at each scrape.
func New(src Source, opts Options) *Metrics {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	m := &Metrics{
		src: src, log: opts.Log,
		scrapes:     make(chan struct{}, maxScrapes),
		transitions: newPushed(newCount),
		hookRuns:    newPushed(newCount),
		hookSkipped: newPushed(newCount),
		hookTook:    newPushed(newHookDuration),
		registry:    prometheus.NewRegistry(),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    nameWakeupLag,
			Help:    "How late the agent's loop woke for a deadline.",
			Buckets: lagBuckets(),
		}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: nameSlowRounds,
			Help: "Rounds of the agent's loop that took more than a quarter of the shortest lease.",
		}),
	}
	m.dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: nameStreamsDropped,
		Help: "Streams of events or captures that vipd ended since their client did not read in time.",
	})
	m.encoders.New = newEncoder
	m.families = families(m.pushedFamilies())
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        nameBuildInfo,
		Help:        "Always 1; the labels describe the running binary.",
		ConstLabels: prometheus.Labels{"version": opts.Version, "go_version": opts.GoVersion},
	})
	build.Set(1)
	m.http = newHTTPMetrics(m.registry, opts)
	m.registry.MustRegister(m.lag, m.slow, m.dropped, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics in Prometheus' text format.
func (m *Metrics) Handler() http.Handler { return http.HandlerFunc(m.serve) }

// ObserveTransition counts one transition; states and reason are those of the status JSON.
func (m *Metrics) ObserveTransition(ifname string, vhid uint8, from, to, reason string) {
	defer m.Outdate()
	g := groupOf(ifname, vhid)
	m.transitions.at(g.key, label("from", from), g.iface, label("reason", reason), label("to", to), g.vhid).Add(1)
}

// ObserveWakeupLag records how late the loop woke for a deadline; a negative lag counts as 0.
func (m *Metrics) ObserveWakeupLag(d time.Duration) {
	m.lag.Observe(max(d, 0).Seconds())
}

// CountSlowRound counts a round of the loop that took more than a quarter of the shortest lease.
func (m *Metrics) CountSlowRound() { m.slow.Inc() }

// CountDroppedStream counts a stream whose client did not read in time.
func (m *Metrics) CountDroppedStream() { m.dropped.Inc() }

// PrepareHook creates the series of a group's hook, so that they start at 0.
func (m *Metrics) PrepareHook(ifname string, vhid uint8) {
	defer m.Outdate()
	g := groupOf(ifname, vhid)
	for _, o := range hookOutcomes() {
		m.hookRuns.at(g.key, g.iface, label("outcome", o), g.vhid)
	}
	m.hookSkipped.at(g.key, g.iface, g.vhid)
	m.hookTook.at(g.key, g.iface, g.vhid)
}

// ObserveHook counts one run of a group's hook; took is 0 if the hook was not started.
func (m *Metrics) ObserveHook(ifname string, vhid uint8, outcome string, took time.Duration) {
	defer m.Outdate()
	g := groupOf(ifname, vhid)
	m.hookRuns.at(g.key, g.iface, label("outcome", outcome), g.vhid).Add(1)
	if took > 0 {
		m.hookTook.at(g.key, g.iface, g.vhid).Observe(took.Seconds())
	}
}

// ObserveHookSkipped counts a transition that a later run of the hook covers.
func (m *Metrics) ObserveHookSkipped(ifname string, vhid uint8) {
	defer m.Outdate()
	g := groupOf(ifname, vhid)
	m.hookSkipped.at(g.key, g.iface, g.vhid).Add(1)
}

// ForgetGroup removes the series of a group that was removed from the config.
func (m *Metrics) ForgetGroup(ifname string, vhid uint8) {
	defer m.Outdate()
	g := groupOf(ifname, vhid)
	for _, p := range []interface{ forget(group string) }{m.transitions, m.hookRuns, m.hookSkipped, m.hookTook} {
		p.forget(g.key)
	}
}
