// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bufio"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// contentType is the only format served; every scraper accepts it.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// serve answers one scrape.
func (m *Metrics) serve(w http.ResponseWriter, r *http.Request) {
	select {
	case m.scrapes <- struct{}{}:
		defer func() { <-m.scrapes }()
	default:
		http.Error(w, "too many scrapes at once, try again later", http.StatusServiceUnavailable)
		return
	}
	page, err := m.made.page(m.render)
	if err != nil {
		m.log.Error("scrape failed", "err", err)
		http.Error(w, "an error has occurred while serving metrics:\n\n"+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Vary", "Accept-Encoding") // for what stands between, and keeps answers
	if err := page.send(w, !acceptsGzip(r.Header.Get("Accept-Encoding"))); err != nil {
		m.log.Debug("client closed the connection during a scrape", "err", err)
	}
}

// write merges the families of the snapshot with those of the registry; both are sorted by name.
func (m *Metrics) write(w *bufio.Writer, v *view, registered []*dto.MetricFamily) error {
	p := &page{w: w}
	for i := range m.families {
		f := &m.families[i]
		for len(registered) > 0 && registered[0].GetName() < f.name {
			if _, err := expfmt.MetricFamilyToText(w, registered[0]); err != nil {
				return err
			}
			registered = registered[1:]
		}
		p.write(f, v)
	}
	for _, f := range registered {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return err
		}
	}
	return nil
}

// acceptsGzip reports whether the client accepts gzip. The library negotiates only for answers that it
// compresses itself, each one anew; here scrapes share a page.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == "gzip" {
			return strings.TrimSpace(weight) != "q=0"
		}
	}
	return false
}

// newEncoder compresses at the fastest level: the default level takes longer than the rest of a scrape,
// and the standard library takes half as long again.
func newEncoder() any {
	gz, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is valid
	}
	return gz
}
