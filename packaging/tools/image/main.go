// SPDX-License-Identifier: Apache-2.0

// Command image writes an OCI image for several architectures as one archive, without a container engine:
//
//	image -version V -commit C -epoch SECONDS FILE.tar ARCHITECTURE=ROOT...
//
// Each ROOT is a directory whose files become the only layer. The same input gives the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	var b build
	flag.StringVar(&b.version, "version", "", "version of vipd")
	flag.StringVar(&b.commit, "commit", "", "commit it is built from")
	epoch := flag.Int64("epoch", 0, "time of the commit, in seconds since 1970")
	flag.Parse()
	b.time = time.Unix(*epoch, 0).UTC()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: image [flags] FILE.tar ARCHITECTURE=ROOT...")
		os.Exit(2)
	}
	if err := b.write(flag.Arg(0), flag.Args()[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

type build struct {
	version, commit string
	time            time.Time
}

// write writes the image of all roots to a file.
func (b build) write(file string, roots []string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arg := range roots {
		arch, root, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is not ARCHITECTURE=ROOT", arg)
		}
		platform := &v1.Platform{OS: "linux", Architecture: arch}
		if arch == "arm64" {
			platform.Variant = "v8"
		}
		img, err := b.image(platform, root)
		if err != nil {
			return fmt.Errorf("image for %s: %w", arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}})
	}
	index, ok := mutate.Annotations(index, b.labels()).(v1.ImageIndex)
	if !ok {
		return fmt.Errorf("annotations of the index are not supported by this library")
	}
	dir, err := os.MkdirTemp("", "image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // temporary
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	// A tag has no "~".
	tag := "vipd:" + strings.ReplaceAll(b.version, "~", "-")
	name := map[string]string{
		"org.opencontainers.image.ref.name": tag,
		"io.containerd.image.name":          "localhost/" + tag,
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(name)); err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := b.tar(out, dir); err != nil {
		return err
	}
	return out.Close()
}

// labels are also the annotations of the index, where registries look for them.
func (b build) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "vipd",
		"org.opencontainers.image.description": "CARP virtual IP addresses with the data plane in XDP",
		"org.opencontainers.image.licenses":    "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)",
		"org.opencontainers.image.version":     b.version,
		"org.opencontainers.image.revision":    b.commit,
		"org.opencontainers.image.created":     b.time.Format(time.RFC3339),
	}
}

// image returns the image of one architecture.
func (b build) image(platform *v1.Platform, root string) (v1.Image, error) {
	var files bytes.Buffer
	if err := b.tar(&files, root); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		Created: v1.Time{Time: b.time}, OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant,
		Config: v1.Config{
			// Without --config, vipd reads /etc/vipd/vipd.toml.
			Entrypoint: []string{"/usr/sbin/vipd"},
			Env:        []string{"PATH=/usr/sbin:/usr/bin"},
			// TERM hands over. KILL would follow after the runtime's grace period.
			StopSignal: "SIGTERM",
			WorkingDir: "/",
			Labels:     b.labels(),
		},
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(img, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: b.time}, CreatedBy: "packaging/image.sh"},
	})
}

// tar writes a directory, in the order of the names, with nothing of the machine but names, modes and contents.
func (b build) tar(w io.Writer, root string) error {
	out := tar.NewWriter(w)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: 0o644, ModTime: b.time}
		switch {
		case d.IsDir():
			h.Typeflag, h.Name, h.Size, h.Mode = tar.TypeDir, name+"/", 0, 0o755
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is not a regular file", path)
		case info.Mode()&0o111 != 0:
			h.Mode = 0o755
		}
		if err := out.WriteHeader(h); err != nil || d.IsDir() {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		_, err = io.Copy(out, in)
		return err
	})
	if err != nil {
		return err
	}
	return out.Close()
}
