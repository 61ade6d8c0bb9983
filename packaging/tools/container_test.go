// SPDX-License-Identifier: Apache-2.0

package tools

import (
	"fmt"
	"os"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestPodManifest proves that Kubernetes knows every field of the manifest, and that it has what vipd needs.
func TestPodManifest(t *testing.T) {
	data, err := os.ReadFile("../container/vipd-pod.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := yaml.UnmarshalStrict(data, &pod); err != nil {
		t.Fatal(err)
	}
	if pod.APIVersion != "v1" || pod.Kind != "Pod" || !pod.Spec.HostNetwork || len(pod.Spec.Containers) != 1 {
		t.Fatalf("not a pod in the host's network with one container: %+v", pod)
	}
	c := pod.Spec.Containers[0]
	want := []corev1.Capability{"BPF", "PERFMON", "NET_ADMIN", "NET_RAW", "SYS_NICE"}
	caps := c.SecurityContext.Capabilities
	if !slices.Equal(caps.Add, want) || !slices.Equal(caps.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("capabilities: %+v", caps)
	}
	paths := map[string]string{}
	for _, v := range pod.Spec.Volumes {
		paths[v.Name] = v.HostPath.Path
	}
	mounted := []string{}
	for _, m := range c.VolumeMounts {
		if paths[m.Name] != m.MountPath {
			t.Errorf("%s of the host is mounted at %s", paths[m.Name], m.MountPath)
		}
		mounted = append(mounted, fmt.Sprint(m.MountPath, " ", m.ReadOnly))
	}
	slices.Sort(mounted)
	all := []string{"/etc/vipd true", "/run/vipd false", "/sys/fs/bpf false", "/var/lib/vipd false"}
	if !slices.Equal(mounted, all) {
		t.Errorf("mounts: %q", mounted)
	}
	for path, probe := range map[string]*corev1.Probe{
		"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe,
	} {
		if get := probe.HTTPGet; get.Path != path || get.Host != "127.0.0.1" || get.Port.IntValue() != 9112 {
			t.Errorf("probe: %+v", get)
		}
	}
}
