// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"
	"errors"
	"time"

	"vipd/agent/election"
	"vipd/agent/view"
	"vipd/loader"
)

// A client that sees no answer goes on asking, and the kernel notes when one last did (unseen_at). In native mode the
// driver may be the cause, and tc ingress the cure.

const (
	// answersEvery is how often the notes are read, one for each address: none of it is urgent.
	answersEvery = 5 * time.Second
	// answersUnseen is in how many readings in a row a client must have gone on asking.
	answersUnseen = 2
)

// answerWatch reads the notes of groups that are MASTER in native mode.
type answerWatch struct {
	next     election.Instant
	unseenIn map[int]int // readings in a row, by interface index
}

// unseen lists the interfaces in native mode whose answers clients do not see.
func (w *answerWatch) unseen(now election.Instant, node *view.Node) []int {
	if now < w.next || node == nil {
		return nil
	}
	w.next = now.Add(answersEvery)
	asked := map[int]bool{}
	for _, live := range node.Groups {
		g := live.Published()
		if g == nil || g.Plane == nil || g.Attachment.Mode != loader.ModeNative || g.Machine.State != election.Master {
			continue
		}
		ifindex := node.Interface(g.Config.Interface).Index
		stats, err := g.Plane.VIPStats()
		if err != nil {
			continue // the group is being removed
		}
		for _, st := range stats {
			at := election.Instant(st.UnseenAt)
			asked[ifindex] = asked[ifindex] || at != 0 && now.Sub(at) < answersEvery
		}
	}
	was := w.unseenIn
	w.unseenIn = map[int]int{}
	var out []int
	for ifindex, still := range asked {
		if !still {
			continue
		}
		if w.unseenIn[ifindex] = was[ifindex] + 1; w.unseenIn[ifindex] >= answersUnseen {
			out = append(out, ifindex)
			delete(w.unseenIn, ifindex)
		}
	}
	return out
}

// fallBack moves interfaces to tc ingress. It fails when ctx ends.
func (l *Loop) fallBack(ctx context.Context, unseen []int) error {
	for _, ifindex := range unseen {
		moved, err := l.plane.FallBack(ifindex)
		switch {
		case errors.Is(err, loader.ErrNativeOnly):
			l.log.Error("native mode does not work", "err", err)
		case err != nil:
			l.log.Error("cannot leave native mode", "err", err)
		}
		for at, att := range moved {
			if err := l.upkeep.report(ctx, repair{at, loader.Repaired{Attachment: att}, nil}); err != nil {
				return err
			}
		}
	}
	return nil
}
