// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vipd/tests/lab"
)

// listen opens a TCP port on a host, which the kernel answers for.
func listen(t *testing.T, h *lab.Host, address string) net.Listener {
	t.Helper()
	var ln net.Listener
	if err := h.Within(func() (err error) {
		ln, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() }) // closed by the test already, or not any more needed
	return ln
}

// A check that fails demotes the node and so moves the VIP; once it is good again the VIP comes back. Which check and
// why stands in the status.
func TestFailingCheckMovesTheVIPAndBack(t *testing.T) {
	t.Parallel()
	const target = "192.0.2.50:8443" // on the client
	checked := oneVIP(0)
	checked.Extra = "[[check]]\nname = \"upstream\"\ntype = \"tcp\"\ntarget = \"" + target +
		"\"\ninterval = \"200ms\"\ntimeout = \"200ms\"\nrise = 2\nfall = 3\ndemotion = 240\n"
	p := newPair(t, checked, oneVIP(100))
	ln := listen(t, p.client, target)
	p.start()
	pinger := p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	time.Sleep(time.Second)
	if s := p.a.Status(); s.Demotion != 0 {
		t.Fatalf("demoted by %+v while the port is open", s.Demotions)
	}
	for range 2 {
		closed := time.Now()
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		p.b.WaitAnswering(group, 3*time.Second)
		took := time.Since(closed)
		t.Logf("moved %v after the port closed", took)
		if took < 400*time.Millisecond {
			t.Error("that is before the third failure")
		}
		p.a.WaitState(group, lab.Backup, patience)
		s := p.a.Status()
		if s.Demotion != 240 || len(s.Demotions) != 1 || s.Demotions[0].Name != "check:upstream" ||
			!strings.Contains(s.Demotions[0].Reason, "refused") {
			t.Errorf("the status says %d, %+v", s.Demotion, s.Demotions)
		}
		if got := metric(p.a.Metrics(), `vipd_check_failing{check="upstream"}`); got != 1 {
			t.Errorf("vipd_check_failing is %v", got)
		}
		// What is not the operator's is not reset by hand.
		if p.a.MustCTL("demotion", "reset"); p.a.Status().Demotion != 240 {
			t.Error("demotion reset took the check's demotion off")
		}
		ln = listen(t, p.client, target)
		p.a.WaitAnswering(group, patience)
		p.b.WaitState(group, lab.Backup, patience)
		time.Sleep(500 * time.Millisecond)
	}
	r := pinger.Stop()
	assertGap(t, r, time.Now(), 300*time.Millisecond)
}

// A VIP follows a local server over HTTPS, such as the API server of a Kubernetes control plane: it leaves a node whose
// server answers with an error, and one whose server accepts no connection.
func TestHTTPCheckMovesTheVIPAndBack(t *testing.T) {
	t.Parallel()
	const target = "127.0.0.1:6443"
	var status atomic.Int32
	status.Store(http.StatusOK)
	serve := func(p *pair) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(int(status.Load()))
		}))
		s.Listener = listen(t, p.a.Host, target)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	ca := filepath.Join(t.TempDir(), "ca.crt")
	checked := oneVIP(0)
	checked.Extra = "[[check]]\nname = \"api\"\ntype = \"http\"\ntarget = \"https://" + target + "/livez\"\n" +
		"ca_file = \"" + ca + "\"\nstatus = \"200\"\ninterval = \"200ms\"\ntimeout = \"200ms\"\n"
	p := newPair(t, checked, oneVIP(100))
	server := serve(p)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	awaitMoved := func(reason string) {
		t.Helper()
		p.b.WaitAnswering(group, patience)
		p.a.WaitState(group, lab.Backup, patience)
		if s := p.a.Status(); len(s.Demotions) != 1 || !strings.Contains(s.Demotions[0].Reason, reason) {
			t.Errorf("demoted by %+v, want %q", s.Demotions, reason)
		}
	}
	status.Store(http.StatusInternalServerError)
	awaitMoved("status 500, expected 200")
	status.Store(http.StatusOK)
	p.a.WaitAnswering(group, patience)
	if code, out := p.a.CTL("check", "run", "api"); code != 0 {
		t.Errorf("vipctl check run: exit %d, %s", code, out)
	}
	server.Close()
	awaitMoved("connection refused")
	serve(p)
	p.a.WaitAnswering(group, patience)
}

// A check that hangs does not delay the election: the period of the adverts stays.
func TestHangingCheckDelaysNoAdvert(t *testing.T) {
	t.Parallel()
	c := oneVIP(0)
	c.Extra = `[[check]]
name = "hangs"
type = "command"
command = ["/bin/sleep", "60"]
interval = "1s"
timeout = "1s"
fall = 255
`
	s := newSingle(t, c)
	sniffer, stalls := s.port.Sniff(), s.WatchStalls()
	s.startMaster()
	time.Sleep(4200 * time.Millisecond)
	adverts := sniffer.Frames().FromHost().Adverts(vhid)
	if len(adverts) < 5 {
		t.Fatalf("%d adverts, want 5:\n%v", len(adverts), adverts)
	}
	for i := 1; i < len(adverts); i++ {
		got := adverts[i].At.Sub(adverts[i-1].At)
		if late := stalls.Allowance(); got < 980*time.Millisecond-late || got > 1100*time.Millisecond+late {
			t.Errorf("period %v, want 1 s", got)
		}
	}
	stopped := time.Now()
	s.node.Stop()
	if took := time.Since(stopped); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
