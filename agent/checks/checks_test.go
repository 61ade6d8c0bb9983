// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"vipd/agent/config"
)

func TestHysteresis(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rise, fall    int
		results, want string // + and - are results; u, p, f verdicts
	}{
		{2, 3, "--+--+--", "uuuuuuuu"},
		{2, 3, "---", "uuf"},
		{2, 3, "++", "up"},
		{2, 3, "---+-++", "uuffffp"},
		{2, 3, "++--+---++", "uppppppffp"},
		{1, 1, "+-+-", "pfpf"},
		{1, 255, strings.Repeat("-", 255) + "+", strings.Repeat("u", 254) + "fp"},
	} {
		h := hysteresis{rise: tt.rise, fall: tt.fall, state: Unknown}
		var got strings.Builder
		for _, r := range tt.results {
			before := h.state
			if changed := h.add(r == '+'); changed != (before != h.state) {
				t.Errorf("%s: changed is %v from %v to %v", tt.results, changed, before, h.state)
			}
			got.WriteString(h.state.String()[:1])
		}
		if got.String() != tt.want {
			t.Errorf("rise %d, fall %d: %s gives %s, want %s", tt.rise, tt.fall, tt.results, got.String(), tt.want)
		}
	}
}

// script is a probe that a test controls.
type script struct {
	fail atomic.Bool
	runs atomic.Int32
	hang atomic.Bool   // until release, whatever the context says
	slow atomic.Int64  // ns that a run takes unless it is cut off
	free chan struct{} // closed to release
}

func (s *script) probe(ctx context.Context) error {
	s.runs.Add(1)
	if s.hang.Load() {
		<-s.free
		return nil
	}
	select {
	case <-time.After(time.Duration(s.slow.Load())):
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.fail.Load() {
		return errors.New("is\n\x1b[2J broken")
	}
	return nil
}

func check(name string) config.Check {
	return config.Check{
		Name:     name,
		Type:     config.CheckTCP,
		Target:   name + ":1",
		Interval: time.Second,
		Timeout:  time.Second,
		Rise:     2,
		Fall:     3,
		Demotion: 240,
	}
}

// bench is a runner whose probes are scripts, by name of the check.
func bench(t *testing.T, names ...string) (*Runner, map[string]*script) {
	t.Helper()
	scripts := map[string]*script{}
	for _, n := range names {
		scripts[n] = &script{free: make(chan struct{})}
	}
	r := New(Options{probe: func(c config.Check) Probe { return scripts[c.Name].probe }})
	t.Cleanup(func() {
		for _, s := range scripts {
			close(s.free)
		}
		r.Close()
	})
	return r, scripts
}

func summary(r *Runner) string {
	var out []string
	for _, res := range r.Results() {
		out = append(out, fmt.Sprintf("%s %v %q", res.Name, res.State, res.Reason))
	}
	return strings.Join(out, "; ")
}

func token(r *Runner) bool {
	select {
	case <-r.Changed():
		return true
	default:
		return false
	}
}

func TestVerdictNeedsConsecutiveResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, scripts := bench(t, "a", "b")
		start := time.Now()
		scripts["a"].fail.Store(true)
		r.Reconcile([]config.Check{check("b"), check("a")})
		if !token(r) {
			t.Error("no token for new checks")
		}
		const broken = `"tcp a:1: is  [2J broken"`
		time.Sleep(time.Second / 2) // between two runs
		for i, want := range []string{
			"a unknown " + broken + `; b unknown ""`,
			"a unknown " + broken + `; b passing ""`,
			"a failing " + broken + `; b passing ""`,
			"a failing " + broken + `; b passing ""`,
		} {
			synctest.Wait()
			if got := summary(r); got != want {
				t.Errorf("run %d: %s, want %s", i, got, want)
			}
			if changed := token(r); changed != (i == 1 || i == 2) {
				t.Errorf("run %d: a token: %v", i, changed)
			}
			time.Sleep(time.Second)
		}
		failed := r.Results()[0]
		if !failed.Since.Equal(start.Add(2*time.Second)) || failed.Demotion != 240 {
			t.Errorf("failing since %v after the start, demotion %d", failed.Since.Sub(start), failed.Demotion)
		}
		scripts["a"].fail.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if got, want := summary(r), `a failing ""; b passing ""`; got != want {
			t.Errorf("after one good run: %s, want %s", got, want)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got, want := summary(r), `a passing ""; b passing ""`; got != want || !token(r) {
			t.Errorf("after two: %s, want %s", got, want)
		}
		r.Close()
		if got := summary(r); got != "" {
			t.Errorf("after Close: %s", got)
		}
		r.Reconcile([]config.Check{check("a")})
		if got := summary(r); got != "" {
			t.Errorf("a closed runner took a check: %s", got)
		}
	})
}

// A slow probe is cancelled and fails at its timeout, and does not delay other checks.
func TestSlowProbeFailsAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, scripts := bench(t, "slow", "quick")
		slow := check("slow")
		slow.Timeout = 300 * time.Millisecond
		scripts["slow"].slow.Store(int64(time.Hour))
		r.Reconcile([]config.Check{slow, check("quick")})
		time.Sleep(299 * time.Millisecond)
		synctest.Wait()
		if got, want := summary(r), `quick unknown ""; slow unknown ""`; got != want {
			t.Errorf("before the timeout: %s, want %s", got, want)
		}
		time.Sleep(2*time.Second + 2*time.Millisecond)
		synctest.Wait()
		if got, want := summary(r), `quick passing ""; slow failing "tcp slow:1: no answer within 300ms"`; got != want {
			t.Errorf("after three timeouts: %s, want %s", got, want)
		}
		if n := scripts["quick"].runs.Load(); n != 3 {
			t.Errorf("the quick one ran %d times in 2.3 s, want 3", n)
		}
	})
}

// A probe that ignores its context counts as a failure and is not started a second time.
func TestHungProbeIsNotStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, scripts := bench(t, "a")
		s := scripts["a"]
		s.hang.Store(true)
		r.Reconcile([]config.Check{check("a")})
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if got, want := summary(r), `a failing "tcp a:1: the previous run is still running after its timeout"`; got != want ||
			s.runs.Load() != 1 {
			t.Errorf("%s after %d runs, want %s", got, s.runs.Load(), want)
		}
		s.hang.Store(false)
		s.free <- struct{}{}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got, want := summary(r), `a passing ""`; got != want {
			t.Errorf("after it ended: %s, want %s", got, want)
		}
		s.hang.Store(true)
		time.Sleep(2 * time.Second)
		start := time.Now()
		r.Close()
		if d := time.Since(start); d != closeTimeout {
			t.Errorf("Close waited %v for a probe that hangs, want %v", d, closeTimeout)
		}
	})
}

func TestReconcile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, scripts := bench(t, "kept", "tuned", "moved", "gone", "fresh")
		scripts["tuned"].fail.Store(true)
		scripts["moved"].fail.Store(true)
		scripts["gone"].hang.Store(true)
		r.Reconcile([]config.Check{check("kept"), check("tuned"), check("moved"), check("gone")})
		time.Sleep(2500 * time.Millisecond)
		synctest.Wait()
		before := r.Results()
		token(r)

		r.Reconcile([]config.Check{check("kept"), check("tuned"), check("moved"), check("gone")})
		if diff := cmp.Diff(before, r.Results()); diff != "" || token(r) {
			t.Errorf("the same again changed (-before +after):\n%s", diff)
		}
		tuned, moved := check("tuned"), check("moved")
		tuned.Demotion, tuned.Fall = 10, 9
		moved.Target = "elsewhere:1"
		runs := scripts["kept"].runs.Load()
		r.Reconcile([]config.Check{check("fresh"), moved, tuned, check("kept")}) // must not wait for gone, which hangs
		const want = `fresh unknown ""; kept passing ""; moved unknown ""; tuned failing "tcp tuned:1: is  [2J broken"`
		if got := summary(r); got != want || !token(r) {
			t.Errorf("after the change: %s\nwant %s", got, want)
		}
		if now := r.Results()[3]; now.Demotion != 10 || !now.Since.Equal(before[3].Since) {
			t.Errorf("tuned: %+v, before %+v", now, before[3])
		}
		synctest.Wait()
		if n := scripts["kept"].runs.Load(); n != runs {
			t.Errorf("an unchanged check was started anew: %d runs, then %d", runs, n)
		}
		scripts["gone"].hang.Store(false)
		scripts["gone"].free <- struct{}{} // its late result is ignored
		time.Sleep(time.Second)
		synctest.Wait()
		if n := scripts["gone"].runs.Load(); n != 1 || len(r.Results()) != 4 {
			t.Errorf("a removed check ran %d times; results %s", n, summary(r))
		}
		r.Reconcile(nil)
		if got := summary(r); got != "" || !token(r) {
			t.Errorf("after all were removed: %s", got)
		}
	})
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                             "",
		" a\tb\r\n":                    "a b",
		"\xff":                         "?",
		strings.Repeat("é", 150):       strings.Repeat("é", 100) + "...",
		"x" + strings.Repeat("é", 150): "x" + strings.Repeat("é", 99) + "...",
	} {
		if got := oneLine(in, 200); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

// Until its first verdict a check runs every second even if its interval is longer; then it keeps
// to the interval.
func TestFirstVerdictComesSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, scripts := bench(t, "a")
		scripts["a"].fail.Store(true)
		c := check("a")
		c.Interval, c.Timeout = time.Minute, 10*time.Second
		r.Reconcile([]config.Check{c})
		for i, want := range []State{Unknown, Unknown, Failing} {
			synctest.Wait()
			if got := r.Results()[0]; got.State != want || got.Confirmed != (want == Failing) {
				t.Errorf("after %d s: %v, confirmed %v; want %v", i, got.State, got.Confirmed, want)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(57*time.Second + time.Millisecond) // 59 s after the verdict
		if n := scripts["a"].runs.Load(); n != 3 {
			t.Errorf("%d runs within the interval after the verdict, want 3", n)
		}
		time.Sleep(2 * time.Second)
		if n := scripts["a"].runs.Load(); n != 4 {
			t.Errorf("%d runs after the interval, want 4", n)
		}
	})
}

// A verdict of an earlier process counts and is confirmed by the first run that agrees; the check
// keeps to its interval since it has a verdict. A verdict on another subject is ignored.
func TestRestoredVerdict(t *testing.T) {
	for _, tt := range []struct {
		was     State
		fails   bool
		subject string // of the restored one, if another
		want    []string
	}{
		{Failing, true, "", []string{"failing false", "failing true"}},
		{Failing, false, "", []string{"failing false", "failing false", "passing true"}},
		{Passing, false, "", []string{"passing false", "passing true"}},
		{Passing, true, "", []string{"passing false", "passing false", "passing false", "failing true"}},
		{Failing, true, "another", []string{"unknown false", "unknown false", "unknown false", "failing true"}},
		{Unknown, true, "", []string{"unknown false", "unknown false", "unknown false", "failing true"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			since := time.Now().Add(-time.Hour)
			s := &script{free: make(chan struct{})}
			s.fail.Store(tt.fails)
			subject := tt.subject
			if subject == "" {
				subject = Subject(check("a"))
			}
			r := New(Options{
				probe:    func(config.Check) Probe { return s.probe },
				Verdicts: map[string]Verdict{"a": {Subject: subject, State: tt.was, Reason: "was so", Since: since}},
			})
			defer r.Close()
			s.slow.Store(int64(time.Millisecond))
			r.Reconcile([]config.Check{check("a")})
			for i, want := range tt.want {
				got := r.Results()[0]
				if text := fmt.Sprintf("%v %v", got.State, got.Confirmed); text != want {
					t.Errorf("%v, fails %v, subject %q, run %d: %s, want %s", tt.was, tt.fails, tt.subject, i, text, want)
				}
				if i == 0 && got.State != Unknown && (!got.Since.Equal(since) || got.Reason != "was so") {
					t.Errorf("%v: since %v for %q", tt.was, got.Since, got.Reason)
				}
				time.Sleep(time.Second)
				synctest.Wait()
			}
			// Only the first check of that name: the config may give it up and take it again.
			r.Reconcile(nil)
			r.Reconcile([]config.Check{check("a")})
			if got := r.Results()[0].State; got != Unknown {
				t.Errorf("restored twice: %v", got)
			}
		})
	}
}

func TestPatienceIsBounded(t *testing.T) {
	t.Parallel()
	c := check("a")
	if got, want := Patience(c), 3*(2*time.Second+grace); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	c.Interval, c.Timeout, c.Fall = time.Hour, time.Hour, 255
	if got := Patience(c); got != maxPatience {
		t.Errorf("%v, want %v", got, maxPatience)
	}
	if Subject(check("a")) == Subject(check("b")) {
		t.Error("two targets are one subject")
	}
	d := check("a")
	d.Interval, d.Fall, d.Demotion = time.Minute, 9, 1
	if Subject(check("a")) != Subject(d) {
		t.Error("other numbers are another subject")
	}
}
