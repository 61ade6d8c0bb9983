// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vipd/agent/election"
	"vipd/tests/goldenfile"
)

// TestTranscripts plays the transcripts of testdata. A transcript begins with prose (#), followed by one event
// per line as `TIME EVENT ARGUMENTS`. The indented lines after an event are the machine's actions, and after
// "=" its state and next deadline. Sends succeed at once unless a line says `sends fail`, `sends partial` or
// `sends hang`. `TIME run` ticks at every deadline up to then, `TIME beats until=TIME every=TIME` repeats an advert.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(raw), "# ") {
				t.Error("a transcript must begin with the property that it shows, in prose")
			}
			goldenfile.Compare(t, file, play(t, string(raw)), "-update if meant")
		})
	}
}

type player struct {
	t     *testing.T
	m     *election.Machine
	out   strings.Builder
	sends string
}

func play(t *testing.T, story string) string {
	t.Helper()
	p := &player{t: t, sends: "ok"}
	for line := range strings.Lines(story) {
		if strings.HasPrefix(line, " ") {
			continue // an earlier output
		}
		p.out.WriteString(line)
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		p.line(words)
	}
	return p.out.String()
}

func (p *player) line(words []string) {
	switch words[0] {
	case "node":
		cfg, generation := config(p.t, words[1:])
		p.m = election.New(cfg, 0, generation)
		return
	case "adopt":
		p.adopt(words[1:])
		return
	case "sends":
		p.sends = words[1]
		return
	}
	at := instant(p.t, words[0])
	if words[1] == "beats" {
		p.beats(at, words[2:])
		return
	}
	if words[1] == "run" {
		for next, ok := p.m.Deadline(); ok && next <= at; next, ok = p.m.Deadline() {
			fmt.Fprintf(&p.out, "  %v\n", time.Duration(next))
			p.step(next, election.Tick{})
		}
	} else {
		p.step(at, event(p.t, at, words[1], words[2:]))
	}
	fmt.Fprintf(&p.out, "  = %s\n", condition(p.m))
}

// adopt reads "100s MASTER generation=7 lease=102s sent=99s stated=1/0 : base=1 preempt".
func (p *player) adopt(words []string) {
	at := instant(p.t, words[0])
	from := election.Adopted{State: election.Backup}
	if words[1] == "MASTER" {
		from.State = election.Master
	}
	words = words[2:]
	for len(words) > 0 && words[0] != ":" {
		k, v, _ := strings.Cut(words[0], "=")
		switch k {
		case "generation":
			from.Generation = uint64(number(p.t, v))
		case "lease":
			from.Lease = instant(p.t, v)
		case "sent":
			from.LastSent = instant(p.t, v)
		case "stated":
			base, skew, _ := strings.Cut(v, "/")
			from.Priority = election.Priority{AdvBase: uint8(number(p.t, base)), AdvSkew: uint8(number(p.t, skew))}
		case "yielded":
			from.Yielded = true
		case "demotion":
			from.Demotion = number(p.t, v)
		case "reason":
			from.Reason, from.Since = reason(p.t, v), instant(p.t, "30s")
		default:
			p.t.Fatalf("unknown word %q", k)
		}
		words = words[1:]
	}
	cfg, _ := config(p.t, words[1:])
	var out []election.Action
	p.m, out = election.Adopt(cfg, at, from, nil)
	for _, a := range out {
		fmt.Fprintf(&p.out, "  %s\n", describe(a))
	}
	fmt.Fprintf(&p.out, "  = %s\n", condition(p.m))
}

// beats reads "1s beats until=2s every=1ms 1/0 ...": the same advert again and again, each with a tick, of which only
// the end is shown.
func (p *player) beats(at election.Instant, words []string) {
	until := instant(p.t, strings.TrimPrefix(words[0], "until="))
	every := time.Duration(instant(p.t, strings.TrimPrefix(words[1], "every=")))
	before := p.m.View()
	for ; at < until; at = at.Add(every) {
		for next, ok := p.m.Deadline(); ok && next < at; next, ok = p.m.Deadline() {
			p.step(next, election.Tick{})
		}
		p.step(at, event(p.t, at, "advert", words[2:]))
		p.step(at, election.Tick{})
		v := p.m.View()
		if v.State != before.State || v.Distrusted != before.Distrusted || v.BeatsEnded != before.BeatsEnded {
			fmt.Fprintf(&p.out, "  %v\n  = %s\n", time.Duration(at), condition(p.m))
			before = v
		}
	}
	fmt.Fprintf(&p.out, "  %v\n  = %s\n", time.Duration(at), condition(p.m))
}

func (p *player) step(at election.Instant, ev election.Event) {
	for _, a := range p.m.Step(at, ev, nil) {
		fmt.Fprintf(&p.out, "  %s\n", describe(a))
		if send, ok := a.(election.SendAdvert); ok && p.sends != "hang" {
			sent := election.Sent{T0: at, Goodbye: send.Goodbye, OK: p.sends == "ok", Partial: p.sends == "partial"}
			defer p.step(at, sent)
		}
	}
}

func condition(m *election.Machine) string {
	v := m.View()
	words := []string{v.State.String(), v.Reason.String()}
	for _, flag := range []struct {
		on   bool
		name string
	}{
		{v.Claiming, "claiming"},
		{v.Expired, "expired"},
		{v.Leaving, "leaving"},
		{v.HandingOver, "yielding"},
		{v.Failing, "failing"},
		{v.Impaired, "impaired"},
		{v.Offering, "offering"},
		{v.Extensions > 0, "late"},
	} {
		if flag.on {
			words = append(words, flag.name)
		}
	}
	if v.Hold != election.HoldNone {
		words = append(words, fmt.Sprintf("held by %v until %v", v.Hold, time.Duration(v.HoldUntil)))
	}
	if v.Silent != election.FamilyNone {
		words = append(words, v.Silent.String(), "silent")
	}
	if v.Distrusted.IsValid() {
		words = append(words, fmt.Sprintf("distrusts %v until %v, time %d", v.Distrusted, time.Duration(v.DistrustUntil),
			v.DistrustTimes))
	}
	if v.BeatsEnded > 0 {
		words = append(words, fmt.Sprintf("beats ended %v", time.Duration(v.BeatsEnded)))
	}
	s := strings.Join(words, " ")
	if next, ok := m.Deadline(); ok {
		s += fmt.Sprintf(", next %v %s", time.Duration(next), v.Waiting)
	}
	return s
}

func describe(a election.Action) string {
	switch a := a.(type) {
	case election.SetPriority:
		return "priority " + priorityText(a.Priority)
	case election.SetRole:
		s := fmt.Sprintf("role %v generation %d", a.State, a.Generation)
		if a.State == election.Master {
			s += fmt.Sprintf(" lease %v send-until %v", time.Duration(a.Lease), time.Duration(a.SendUntil))
		}
		return s
	case election.SendAdvert:
		if a.Goodbye {
			return "send goodbye " + priorityText(a.Priority)
		}
		if a.Beat > 0 {
			return fmt.Sprintf("send %s beat %v", priorityText(a.Priority), a.Beat)
		}
		return "send " + priorityText(a.Priority)
	case election.Transition:
		s := fmt.Sprintf("%v -> %v %v", a.From, a.To, a.Reason)
		if a.Cause != nil {
			s += fmt.Sprintf(" from %v %s", a.Cause.Src, priorityText(a.Cause.Priority))
		}
		if a.Lag > 0 {
			s += fmt.Sprintf(", %v late", a.Lag)
		}
		return s
	case election.HandoverResult:
		s := fmt.Sprintf("handover %v after %v", a.Outcome, a.Took)
		if a.Successor.IsValid() {
			s += " to " + a.Successor.String()
		}
		if a.Goodbye {
			s += ", with goodbye"
		}
		return s
	case election.Released:
		return "released " + a.Reason.String()
	default:
		return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", a), "election."))
	}
}

func priorityText(p election.Priority) string {
	s := fmt.Sprintf("%d/%d", p.AdvBase, p.AdvSkew)
	if p.Demote > 0 {
		s += fmt.Sprintf(" demote %d", p.Demote)
	}
	return s
}

// config reads "base=1 skew=0 preempt ...".
func config(t *testing.T, words []string) (election.Config, uint64) {
	t.Helper()
	cfg, generation := election.Config{NodeName: "fw1", AdvBase: 1, DeadRatio: 3, SendDemote: true}, 0
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		switch k {
		case "name":
			cfg.NodeName = v
		case "base":
			cfg.AdvBase = uint8(number(t, v))
		case "skew":
			cfg.AdvSkew = uint8(number(t, v))
		case "ratio":
			cfg.DeadRatio = float64(number(t, v))
		case "preempt":
			cfg.Preempt = true
		case "down":
			if v != "openbsd" {
				t.Fatalf("no such rule %q", v)
			}
			cfg.MasterDown = election.DownOpenBSD
		case "preempt-delay":
			cfg.PreemptDelay = time.Duration(instant(t, v))
		case "beat":
			cfg.Beat = time.Duration(instant(t, v))
		case "stagger":
			cfg.Stagger = time.Duration(instant(t, v))
		case "claim-delay":
			cfg.ClaimDelay = time.Duration(instant(t, v))
		case "dual-stack":
			cfg.DualStack = true
		case "no-demote-byte":
			cfg.SendDemote = false
		case "generation":
			generation = number(t, v)
		default:
			t.Fatalf("unknown setting %q", w)
		}
	}
	return cfg, uint64(generation)
}

func event(t *testing.T, at election.Instant, name string, args []string) election.Event {
	t.Helper()
	switch name {
	case "tick":
		tick := election.Tick{Blind: slices.Contains(args, "blind")}
		for _, arg := range args {
			if d, is := strings.CutPrefix(arg, "watched="); is {
				tick.Watched = time.Duration(instant(t, d))
			}
		}
		return tick
	case "yield":
		return election.HandOver{Force: slices.Contains(args, "force"), Wait: slices.Contains(args, "wait")}
	case "stay":
		return election.Stay{}
	case "up":
		return election.Up{Reason: reason(t, args[0])}
	case "down":
		return election.Down{Reason: reason(t, args[0])}
	case "release":
		return election.Release{Reason: reason(t, args[0])}
	case "reach":
		return election.Reach{
			Impaired: slices.Contains(args, "impaired") || slices.Contains(args, "mute"), Mute: slices.Contains(args, "mute"),
		}
	case "demotion":
		return election.Demotion{Total: number(t, args[0])}
	case "yielded":
		return election.Yielded{Generation: uint64(number(t, args[0]))}
	case "sending":
		return election.Sending{}
	case "sent":
		return election.Sent{T0: instant(t, args[0]), OK: true}
	case "await-checks":
		return election.AwaitChecks{Until: instant(t, args[0])}
	case "restore":
		return restore(t, args)
	case "reconfigure":
		cfg, _ := config(t, args)
		return election.Reconfigure{Config: cfg}
	case "advert":
		return advert(t, at, args)
	}
	t.Fatalf("unknown event %q", name)
	return nil
}

// restore reads "yield=10m successor=192.0.2.12 said=1/100 fail=1m wait=8s".
func restore(t *testing.T, args []string) election.Event {
	t.Helper()
	var k election.Kept
	for _, w := range args {
		name, v, _ := strings.Cut(w, "=")
		switch name {
		case "yield":
			k.YieldUntil = instant(t, v)
		case "successor":
			a := netip.MustParseAddr(v)
			k.Successor[election.FamilyOf(a)-election.IPv4] = a
		case "said":
			base, skew, _ := strings.Cut(v, "/")
			k.Said = election.Priority{AdvBase: uint8(number(t, base)), AdvSkew: uint8(number(t, skew))}
		case "fail":
			k.FailUntil = instant(t, v)
		case "wait":
			k.FailWait = time.Duration(instant(t, v))
		default:
			t.Fatalf("unknown field %q", w)
		}
	}
	return election.Restore{Kept: k}
}

// advert reads "1/100 at=2s yielded=1 aware demote=3 src=192.0.2.9".
func advert(t *testing.T, at election.Instant, args []string) election.Event {
	t.Helper()
	base, skew, _ := strings.Cut(args[0], "/")
	a := election.Advert{At: at, Src: netip.MustParseAddr("192.0.2.12")}
	a.AdvBase, a.AdvSkew = uint8(number(t, base)), uint8(number(t, skew))
	for _, w := range args[1:] {
		k, v, _ := strings.Cut(w, "=")
		switch k {
		case "at":
			a.At = instant(t, v)
		case "yielded":
			a.Yielded, a.Generation = true, uint64(number(t, v))
		case "aware":
			a.Aware = true
		case "beat":
			a.Beat = time.Duration(instant(t, v))
		case "withheld":
			a.Withheld = true
		case "demote":
			a.Demote = uint8(number(t, v))
		case "src":
			a.Src = netip.MustParseAddr(v)
		default:
			t.Fatalf("unknown field %q", w)
		}
	}
	return a
}

func reason(t *testing.T, name string) election.Reason {
	t.Helper()
	for _, r := range election.Reasons() {
		if r.String() == name {
			return r
		}
	}
	t.Fatalf("unknown reason %q", name)
	return 0
}

func instant(t *testing.T, s string) election.Instant {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return election.Instant(d)
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
