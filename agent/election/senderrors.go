// SPDX-License-Identifier: Apache-2.0

package election

import "time"

const (
	sendErrorLimit = 3
	// minProbation and maxProbation limit how long a node that does not send stays demoted.
	minProbation = 30 * time.Second
	maxProbation = 10 * time.Minute
)

// SendErrors decides whether failed sends of a group demote the node. Like FreeBSD (carp_send_ad_error and its
// callers in ip_carp.c), three errors without three consecutive successes between them demote the node, and
// three consecutive successes end that. A BACKUP sends nothing: its demotion ends after a probation without
// errors, which doubles each time if that was too early.
type SendErrors struct {
	errors, good int
	partly       bool // a part of an advert was sent
	probation    time.Duration
	until        Instant
}

// Demoted reports whether the node is demoted.
func (s *SendErrors) Demoted() bool { return s.errors >= sendErrorLimit }

// Partly reports whether the node is demoted and a part of an advert was sent: then the group cannot reach all
// families and peers, see Reach.
func (s *SendErrors) Partly() bool { return s.Demoted() && s.partly }

// Sent counts the outcome of one SendAdvert. A claim that disturbed an owner and had to be withdrawn demotes at
// once.
func (s *SendErrors) Sent(now Instant, act SendAdvert, ok, partial bool) {
	switch {
	case ok && s.errors > 0:
		if s.good++; s.good == sendErrorLimit {
			*s = SendErrors{}
		}
	case !ok:
		before := s.Demoted()
		s.good = 0
		s.errors++
		s.partly = s.partly || partial
		if act.Whole && partial {
			s.errors = max(s.errors, sendErrorLimit)
		}
		if s.Demoted() && !before {
			s.probation = min(max(2*s.probation, minProbation), maxProbation)
		}
		s.until = now.Add(s.probation)
	}
}

// Look ends the demotion of a group that does not send: at once in INIT, and after the probation in BACKUP.
func (s *SendErrors) Look(now Instant, state State) {
	if state == Init || state == Backup && s.Demoted() && now >= s.until {
		s.errors, s.good, s.partly = 0, 0, false
	}
}

// Until returns when the demotion ends if no send fails. It is valid only while Demoted.
func (s *SendErrors) Until() Instant { return s.until }
