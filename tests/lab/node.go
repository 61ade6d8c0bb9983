// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Group is one [[vip]] of a node's config. Zero values are left out of the file, so that the daemon's defaults hold.
type Group struct {
	Interface   string // default eth0
	VHID        int    // default 1
	Addresses   []string
	AdvBase     int
	AdvSkew     int
	Password    string // default "mekmitasdigoat"
	Description string
	Extra       string // further keys, then tables such as [[vip.accept]]
}

// NodeConfig is what a node's config file says.
type NodeConfig struct {
	Groups    []Group
	NoPreempt bool
	DeadRatio float64
	Carp      string // further keys of [carp]
	Listen    string // of [http]; default MetricsAddress
	HTTP      string // further keys of [http]
	Mode      string // of [xdp]
	Extra     string // further TOML, before the groups; without tables that other fields write
}

// Node is a host that runs vipd.
type Node struct {
	*Host
	Config NodeConfig
	Env    []string // for the daemon, besides the test's own

	bin  string
	dir  string
	bpf  string
	proc *Proc
}

const (
	// Password is the groups' password unless a test says otherwise.
	Password = "mekmitasdigoat"
	// MetricsAddress is where a node serves /metrics in its namespace.
	MetricsAddress = "127.0.0.1:9112"

	startTimeout   = time.Minute // an emulated machine is slow
	stopTimeout    = time.Minute
	cliTimeout     = time.Minute // "doctor --for 10" takes ten seconds by itself
	statusTimeout  = 10 * time.Second
	metricsTimeout = 30 * time.Second
)

// NewNode prepares a host to run the vipd found in the directory bin; it writes the config and starts nothing.
func (h *Host) NewNode(bin string, config NodeConfig) *Node {
	l := h.lab
	l.Helper()
	n := &Node{
		Host:   h,
		Config: config,
		bin:    bin,
		dir:    filepath.Join(l.dir, h.Name),
		bpf:    filepath.Join(BPFRoot, l.name+"-"+h.Name),
	}
	l.check(os.MkdirAll(n.dir, 0o755), "node %s", h.Name)
	l.Cleanup(func() {
		if n.proc != nil {
			n.proc.Kill9() // one that still starts would fail for the want of its pins, and hide why the test did
		}
		if err := removeAll(n.bpf); err != nil {
			l.Errorf("remove pins of %s: %v", h.Name, err)
		}
	})
	n.WriteConfig(config)
	return n
}

// ConfigFile returns the path of the node's config.
func (n *Node) ConfigFile() string { return filepath.Join(n.dir, "vipd.toml") }

// Socket returns the path of the control socket.
func (n *Node) Socket() string { return filepath.Join(n.RuntimeDir(), "vipd.sock") }

// KeyFile returns the path of a group's password file.
func (n *Node) KeyFile(ifname string, vhid int) string {
	return filepath.Join(n.dir, fmt.Sprintf("%s-%d.key", ifname, vhid))
}

// BPFDir is where the node pins its maps and links.
func (n *Node) BPFDir() string { return n.bpf }

// StateDir returns the directory that survives a reboot.
func (n *Node) StateDir() string { return filepath.Join(n.dir, "state") }

// RuntimeDir returns the directory that a reboot empties.
func (n *Node) RuntimeDir() string { return filepath.Join(n.dir, "run") }

// WriteConfig writes the node's config file; a running daemon reads it at SIGHUP.
func (n *Node) WriteConfig(config NodeConfig) {
	n.lab.Helper()
	n.Config = config
	n.WriteRawConfig(n.render(config))
}

// ReadConfig returns the text of the node's config file.
func (n *Node) ReadConfig() string {
	n.lab.Helper()
	text, err := os.ReadFile(n.ConfigFile())
	n.lab.check(err, "read config of %s", n.Name)
	return string(text)
}

// WriteRawConfig writes any text as the config file.
func (n *Node) WriteRawConfig(text string) {
	n.lab.Helper()
	n.lab.check(os.WriteFile(n.ConfigFile(), []byte(text), 0o600), "write config of %s", n.Name)
}

func (n *Node) render(config NodeConfig) string {
	n.lab.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "[node]\nname = %q\nstate_dir = %q\nruntime_dir = %q\nbpf_dir = %q\n", n.Name, n.StateDir(),
		n.RuntimeDir(), n.bpf)
	fmt.Fprintf(&b, "\n[control]\nsocket = %q\ngroup = \"\"\n\n[http]\nlisten = %q\n%s\n", n.Socket(),
		cmp.Or(config.Listen, MetricsAddress), config.HTTP)
	fmt.Fprintf(&b, "\n[carp]\npreempt = %v\n", !config.NoPreempt)
	if config.DeadRatio != 0 {
		fmt.Fprintf(&b, "dead_ratio = %.2f\n", config.DeadRatio)
	}
	b.WriteString(config.Carp + "\n")
	if config.Mode != "" {
		fmt.Fprintf(&b, "\n[xdp]\nmode = %q\n", config.Mode)
	}
	b.WriteString("\n" + config.Extra)
	for _, g := range config.Groups {
		g = g.withDefaults()
		key := n.KeyFile(g.Interface, g.VHID)
		n.lab.check(os.WriteFile(key, []byte(g.Password+"\n"), 0o600), "write key of %s", n.Name)
		fmt.Fprintf(&b, "\n[[vip]]\ninterface = %q\nvhid = %d\npassword_file = %q\n", g.Interface, g.VHID, key)
		fmt.Fprintf(&b, "addresses = [\"%s\"]\n", strings.Join(g.Addresses, `", "`))
		if g.AdvBase != 0 {
			fmt.Fprintf(&b, "advbase = %d\n", g.AdvBase)
		}
		fmt.Fprintf(&b, "advskew = %d\n", g.AdvSkew)
		if g.Description != "" {
			fmt.Fprintf(&b, "description = %q\n", g.Description)
		}
		b.WriteString(g.Extra + "\n")
	}
	return b.String()
}

func (g Group) withDefaults() Group {
	if g.Interface == "" {
		g.Interface = "eth0"
	}
	if g.VHID == 0 {
		g.VHID = 1
	}
	if g.Password == "" {
		g.Password = Password
	}
	return g
}

// Launch starts the daemon and does not wait for it.
func (n *Node) Launch() *Proc {
	n.lab.Helper()
	n.proc = n.SpawnEnv(n.Env, "vipd", filepath.Join(n.bin, "vipd"), "--config", n.ConfigFile())
	return n.proc
}

// Replace has the node run the vipd and vipctl found in the directory bin from its next start on.
func (n *Node) Replace(bin string) { n.bin = bin }

// Start starts the daemon and waits until it answers on its socket. It returns the time just before the start.
func (n *Node) Start() time.Time {
	n.lab.Helper()
	p := n.Launch()
	n.lab.Eventually(startTimeout, 5*time.Millisecond, func() (bool, string) {
		if !p.Running() {
			n.lab.Fatalf("vipd on %s ended (%s):\n%s", n.Name, p.exit(), tail(p.Output(), 40))
		}
		_, err := n.TryStatus()
		return err == nil, fmt.Sprintf("vipd on %s answers: %v", n.Name, err)
	})
	return p.Started
}

// Proc returns the daemon last started.
func (n *Node) Proc() *Proc { return n.proc }

// Stop asks the daemon to stop with handover and waits until it has ended; it must end with exit code 0.
// It returns the time just before the signal.
func (n *Node) Stop() time.Time {
	n.lab.Helper()
	at := n.proc.Signal(syscall.SIGTERM)
	if code := n.proc.Wait(stopTimeout); code != 0 {
		n.lab.Errorf("vipd on %s ended with exit code %d after SIGTERM:\n%s", n.Name, code, tail(n.proc.Output(), 20))
	}
	return at
}

// Kill9 kills the daemon outright and returns the time just before.
func (n *Node) Kill9() time.Time { return n.proc.Kill9() }

// Pause stops the daemon from running (SIGSTOP) and waits until every thread has stopped: one that waits for the disk
// does so later than the others.
func (n *Node) Pause() time.Time {
	n.lab.Helper()
	at := n.proc.Signal(syscall.SIGSTOP)
	n.lab.Eventually(10*time.Second, time.Millisecond, func() (bool, string) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.proc.PID()))
		n.lab.check(err, "threads of %s", n.proc.Name)
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			_, rest, _ := strings.Cut(string(stat), ") ")
			if err == nil && !strings.HasPrefix(rest, "T") { // an error: the thread has ended
				return false, "vipd on " + n.Name + " stopped"
			}
		}
		return len(threads) > 0, "vipd on " + n.Name + " has threads"
	})
	return at
}

// Resume lets the daemon run again.
func (n *Node) Resume() time.Time {
	n.lab.Helper()
	return n.proc.Signal(syscall.SIGCONT)
}

// CTL runs vipctl against the node and returns its exit code and output.
func (n *Node) CTL(args ...string) (int, string) {
	n.lab.Helper()
	return n.Run(cliTimeout, filepath.Join(n.bin, "vipctl"), append([]string{"--socket", n.Socket()}, args...)...)
}

// MustCTL is CTL for a command that has to succeed.
func (n *Node) MustCTL(args ...string) string {
	n.lab.Helper()
	code, out := n.CTL(args...)
	if code != 0 {
		n.lab.Fatalf("vipctl %s on %s: exit code %d\n%s", strings.Join(args, " "), n.Name, code, out)
	}
	return out
}

// VIPD runs vipd itself with other arguments (--check, --cleanup) to its end.
func (n *Node) VIPD(args ...string) (int, string) {
	n.lab.Helper()
	return n.Run(cliTimeout, filepath.Join(n.bin, "vipd"), args...)
}

// Cleanup runs vipd --cleanup, which must succeed.
func (n *Node) Cleanup() string {
	n.lab.Helper()
	code, out := n.VIPD("--config", n.ConfigFile(), "--cleanup")
	if code != 0 {
		n.lab.Fatalf("vipd --cleanup on %s: exit code %d\n%s", n.Name, code, out)
	}
	return out
}

// TryStatus asks the daemon for its status over the socket.
func (n *Node) TryStatus() (Status, error) {
	var s Status
	client := http.Client{Timeout: statusTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", n.Socket())
		},
	}}
	resp, err := client.Get("http://vipd/v1/status")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return s, err
	}
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("GET /v1/status: %s: %s", resp.Status, body)
	}
	return s, json.Unmarshal(body, &s)
}

// Status returns the status of the node; the daemon must be running.
func (n *Node) Status() Status {
	n.lab.Helper()
	s, err := n.TryStatus()
	n.lab.check(err, "status of %s", n.Name)
	return s
}

// CTLStatus returns the status as vipctl prints it.
func (n *Node) CTLStatus() Status {
	n.lab.Helper()
	var s Status
	out := n.MustCTL("status", "-o", "json")
	n.lab.check(json.Unmarshal([]byte(out), &s), "decode what vipctl on %s printed: %s", n.Name, out)
	return s
}

// Group returns the status of one group.
func (n *Node) Group(name string) GroupStatus {
	n.lab.Helper()
	g, err := n.Status().Group(name)
	n.lab.check(err, "status of %s", n.Name)
	return g
}

// WaitFor waits until a group's status meets a condition, which is named for the failure message.
func (n *Node) WaitFor(group, what string, timeout time.Duration, condition func(GroupStatus) bool) GroupStatus {
	n.lab.Helper()
	var g GroupStatus
	n.lab.Eventually(timeout, 10*time.Millisecond, func() (bool, string) {
		s, err := n.TryStatus()
		if err == nil {
			g, err = s.Group(group)
		}
		if err != nil {
			return false, fmt.Sprintf("%s of %s %s: %v", group, n.Name, what, err)
		}
		return condition(g), fmt.Sprintf("%s of %s %s; it is %s (%s)", group, n.Name, what, g.State, g.Reason)
	})
	return g
}

// WaitState waits until a group is in a state.
func (n *Node) WaitState(group, state string, timeout time.Duration) GroupStatus {
	n.lab.Helper()
	return n.WaitFor(group, "is "+state, timeout, func(g GroupStatus) bool { return g.State == state })
}

// WaitAnswering waits until a group is MASTER and the kernel answers for it.
func (n *Node) WaitAnswering(group string, timeout time.Duration) GroupStatus {
	n.lab.Helper()
	return n.WaitFor(group, "is MASTER and answers", timeout, func(g GroupStatus) bool {
		return g.State == Master && g.Dataplane.Answering
	})
}

// Metrics returns the text of the node's /metrics.
func (n *Node) Metrics() string {
	n.lab.Helper()
	code, body := n.Get("/metrics")
	if code != http.StatusOK {
		n.lab.Fatalf("GET /metrics on %s: %d\n%s", n.Name, code, body)
	}
	return body
}

// Get asks the node's HTTP listener, from within its namespace.
func (n *Node) Get(path string) (code int, body string) {
	n.lab.Helper()
	addr := netip.MustParseAddrPort(MetricsAddress)
	n.lab.check(n.Within(func() error {
		// A plain socket made on this very thread: net/http would dial on another one.
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
			unix.Close(fd)
			return err
		}
		file := os.NewFile(uintptr(fd), "http")
		defer file.Close()
		conn, err := net.FileConn(file)
		if err != nil {
			return err
		}
		client := http.Client{Timeout: metricsTimeout, Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		}}
		resp, err := client.Get("http://" + MetricsAddress + path)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		code, body = resp.StatusCode, string(b)
		return err
	}), "GET %s on %s", path, n.Name)
	return code, body
}
