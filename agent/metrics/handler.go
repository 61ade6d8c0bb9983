// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bufio"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// contentType is the one format that is served: every scraper takes it.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// serve answers one scrape. Whatever can fail does so before the first byte: a scrape
// that lacks groups would read as all well.
func (m *Metrics) serve(w http.ResponseWriter, r *http.Request) {
	select {
	case m.scrapes <- struct{}{}:
		defer func() { <-m.scrapes }()
	default:
		http.Error(w, "too many scrapes at once, try again later", http.StatusServiceUnavailable)
		return
	}
	snap := m.src.Snapshot()
	registered, err := m.registry.Gather()
	if snap.Err != nil {
		err = snap.Err
	}
	if err != nil {
		m.log.Error("scrape failed", "err", err)
		http.Error(w, "an error has occurred while serving metrics:\n\n"+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	var out io.Writer = w
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		gz := m.encoders.Get().(*gzip.Writer) // always, as encoders has a New
		gz.Reset(w)
		w.Header().Set("Content-Encoding", "gzip")
		defer func() {
			m.hungUp(gz.Close())
			gz.Reset(io.Discard) // and keeps nothing of the connection
			m.encoders.Put(gz)
		}()
		out = gz
	}
	buffered := bufio.NewWriterSize(out, 64<<10)
	err = m.write(buffered, newView(&snap), registered)
	if err == nil {
		err = buffered.Flush()
	}
	m.hungUp(err)
}

// write merges what is read from the snapshot with the registry's, both sorted by name.
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

// hungUp notes that a client did not take its answer, which is its own affair.
func (m *Metrics) hungUp(err error) {
	if err != nil {
		m.log.Debug("scrape not taken", "err", err)
	}
}

func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == "gzip" {
			return strings.TrimSpace(weight) != "q=0"
		}
	}
	return false
}

// newEncoder packs at the fastest level: the default takes longer than all else of a scrape,
// and the standard library's half as long again as this one.
func newEncoder() any {
	gz, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // there is such a level
	}
	return gz
}
