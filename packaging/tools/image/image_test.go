// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var built = build{version: "1.2~git3", commit: "89ab", time: time.Unix(1700000000, 0).UTC()}

// root makes a directory with a program and a mount point.
func root(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"usr/sbin", "run/vipd"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "usr/sbin/vipd"), []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// unpack returns the files of an archive, and writes them below dir unless that is empty.
func unpack(t *testing.T, r io.Reader, dir string) (names []string) {
	t.Helper()
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(built.time) {
			t.Errorf("%s has something of this machine: %+v", h.Name, h)
		}
		names = append(names, h.FileInfo().Mode().String()+" "+h.Name)
		to := filepath.Join(dir, h.Name)
		switch {
		case dir == "":
		case h.Typeflag == tar.TypeDir:
			err = os.MkdirAll(to, 0o700)
		default:
			var data []byte
			if data, err = io.ReadAll(in); err == nil {
				err = os.WriteFile(to, data, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func archive(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := built.write(file, []string{"amd64=" + root(t), "arm64=" + root(t)}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestImage(t *testing.T) {
	data := archive(t)
	if !bytes.Equal(data, archive(t)) {
		t.Error("the same files in another directory give another image")
	}
	dir := t.TempDir()
	unpack(t, bytes.NewReader(data), dir)
	whole, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(whole); err != nil {
		t.Error(err)
	}
	top, err := whole.IndexManifest()
	if err != nil || len(top.Manifests) != 1 {
		t.Fatalf("%v: %+v", err, top)
	}
	if name := top.Manifests[0].Annotations["org.opencontainers.image.ref.name"]; name != "vipd:1.2-git3" {
		t.Errorf("name %q", name)
	}
	index, err := whole.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || !maps.Equal(manifest.Annotations, built.labels()) {
		t.Fatalf("%v: %+v", err, manifest)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		img, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, img, m.Platform)
	}
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64/v8"}) {
		t.Errorf("platforms %v", platforms)
	}
}

func checkImage(t *testing.T, img v1.Image, platform *v1.Platform) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != platform.Architecture || !config.Created.Equal(built.time) ||
		!slices.Equal(config.Config.Entrypoint, []string{"/usr/sbin/vipd"}) ||
		!maps.Equal(config.Config.Labels, built.labels()) {
		t.Errorf("%+v", config)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%v: %d layers", err, len(layers))
	}
	files, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	want := []string{
		"drwxr-xr-x run/", "drwxr-xr-x run/vipd/", "drwxr-xr-x usr/", "drwxr-xr-x usr/sbin/", "-rwxr-xr-x usr/sbin/vipd",
	}
	if got := unpack(t, files, ""); !slices.Equal(got, want) {
		t.Errorf("files %q", got)
	}
}

func TestImageRefusesLinks(t *testing.T) {
	dir := root(t)
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := built.write(filepath.Join(t.TempDir(), "image.tar"), []string{"amd64=" + dir}); err == nil {
		t.Error("a link is accepted")
	}
	if err := built.write(filepath.Join(t.TempDir(), "image.tar"), []string{dir}); err == nil {
		t.Error("a root without an architecture is accepted")
	}
}
