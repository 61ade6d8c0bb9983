// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"vipd/agent/control/api"
)

// pieceSize is the size of all pieces but the last.
const pieceSize = 64 << 10

// pieces is an answer as JSON. One buffer that grew to the megabytes of a large status would take several times as
// much.
type pieces struct {
	all  [][]byte
	size int
}

// Write implements io.Writer; it never fails.
func (p *pieces) Write(b []byte) (int, error) {
	n := len(b)
	p.size += n
	for len(b) > 0 {
		last := len(p.all) - 1
		if last < 0 || len(p.all[last]) == cap(p.all[last]) {
			size := pieceSize
			if last < 0 {
				size = min(size, len(b)) // most answers are one
			}
			p.all, last = append(p.all, make([]byte, 0, size)), last+1
		}
		piece := p.all[last]
		fits := min(len(b), cap(piece)-len(piece))
		p.all[last], b = append(piece, b[:fits]...), b[fits:]
	}
	return n, nil
}

func (p *pieces) writeTo(w io.Writer) error {
	for i, piece := range p.all {
		if _, err := w.Write(piece); err != nil {
			return err
		}
		p.all[i] = nil // a slow client holds only what it has not read
	}
	return nil
}

// jsonOf returns v and a newline.
func jsonOf(v any) (*pieces, error) {
	p := &pieces{}
	return p, json.NewEncoder(p).Encode(v)
}

// statusJSON returns a status as jsonOf would, made group by group.
func statusJSON(st *api.Status, groups iter.Seq[*api.Group]) (*pieces, error) {
	if st.Demotions == nil {
		st.Demotions = []api.Demotion{}
	}
	st.Groups = []api.Group{}
	head, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	// In a string its quotes would be escaped.
	before, after, _ := bytes.Cut(head, []byte(`"groups":[]`))
	p := &pieces{}
	fmt.Fprintf(p, `%s"groups":[`, before)
	var one bytes.Buffer
	encoder := json.NewEncoder(&one)
	first := true
	for g := range groups {
		fillGroup(g)
		one.Reset()
		if err := encoder.Encode(g); err != nil {
			return nil, err
		}
		if !first {
			fmt.Fprint(p, ",")
		}
		first = false
		if _, err := p.Write(bytes.TrimSuffix(one.Bytes(), []byte("\n"))); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(p, "]%s\n", after)
	return p, nil
}
