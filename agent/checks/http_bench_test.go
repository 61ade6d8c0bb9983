// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/agent/ordinary"
)

// serverFiles names the directory from which the test binary serves instead of testing.
const serverFiles = "CHECKS_TEST_SERVER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serverFiles); dir != "" {
		log.Fatal(serveTLS(dir))
	}
	os.Exit(m.Run())
}

// serveTLS prints its address and serves until the standard input ends.
func serveTLS(dir string) error {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is what matters
		os.Exit(0)
	}()
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }
	return (&http.Server{Handler: http.HandlerFunc(ok), ReadHeaderTimeout: time.Minute}).Serve(listener)
}

// server starts a TLS server in a process of its own, whose work is not that of the probes.
func (a *authority) server() (url string) {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}})
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	dir := a.t.TempDir()
	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: cert.Raw}, "server.key": {Type: "EC PRIVATE KEY", Bytes: raw},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), serverFiles+"="+dir), os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		a.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		a.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		_ = stdin.Close() // ends it
		_ = cmd.Wait()
	})
	address := make([]byte, 64)
	n, err := stdout.Read(address)
	if err != nil {
		a.t.Fatalf("the server has no address: %v", err)
	}
	return "https://" + strings.TrimSpace(string(address[:n])) + "/"
}

// processTime returns the processor time of this process.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &at); err != nil {
		b.Fatal(err)
	}
	return time.Duration(at.Nano())
}

// BenchmarkHTTPS runs checks as fast as their gate admits them, after using up what it saves while there are none:
// runs/s is what fits into [ordinary.CheckShare], cpu-ms/run what a run takes from the whole process.
func BenchmarkHTTPS(b *testing.B) {
	ours := newAuthority(b)
	c := httpCheck(ours.server())
	c.HTTP.CAFile = ours.file
	probe := httpProbe(c, ordinary.NewGate(ordinary.CheckShare))
	run := func() {
		done := make(chan error)
		go func() { done <- probe(b.Context()) }() // the goroutine keeps its thread
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	for range 100 {
		run()
	}
	began, used := time.Now(), processTime(b)
	for b.Loop() {
		run()
	}
	runs := float64(b.N)
	b.ReportMetric(runs/time.Since(began).Seconds(), "runs/s")
	b.ReportMetric((processTime(b)-used).Seconds()*1000/runs, "cpu-ms/run")
}
