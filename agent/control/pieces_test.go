// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"vipd/agent/control/api"
)

// TestStatusGroupByGroup: the bytes are those of the whole value, whatever is in its strings.
func TestStatusGroupByGroup(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 300} {
		want := api.Status{
			Node: `"groups":[]`, Demotions: []api.Demotion{{Name: `"groups":[]`}}, Groups: []api.Group{},
			Warnings: []string{`"groups":[]`, "<&>"},
		}
		for i := range n {
			g := api.Group{Name: fmt.Sprintf("eth0@%d", i), Description: `"groups":[] <&>`}
			fillGroup(&g)
			want.Groups = append(want.Groups, g)
		}
		whole, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		head := want
		head.Groups = nil
		p, err := statusJSON(&head, byGroup(want.Groups...))
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		size := p.size
		if err := p.writeTo(&got); err != nil {
			t.Fatal(err)
		}
		if got.String() != string(whole)+"\n" || size != got.Len() {
			t.Errorf("%d groups: %d bytes, stated %d, want %d:\n%.300s", n, got.Len(), size, len(whole)+1, &got)
		}
	}
}
