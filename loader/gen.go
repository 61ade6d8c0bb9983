// SPDX-License-Identifier: Apache-2.0

package loader

// BPF2GO_CC and BPF2GO_CFLAGS come from the Makefile: the pinned clang, and the
// multiarch include directory that Debian's clang does not know for this target.
// No strict aliasing: addresses are compared and copied in words of several sizes.
//go:generate go tool bpf2go -tags linux -type auth_context -target bpfel,bpfeb bpf ../bpf/vipd.bpf.c -- -O2 -g -Wall -Wextra -Werror -mcpu=v3 -fno-strict-aliasing
//go:generate go tool bpf2go -tags linux -no-global-types -target bpfel,bpfeb ingress ../bpf/ingress.bpf.c -- -O2 -g -Wall -Wextra -Werror -mcpu=v3 -fno-strict-aliasing
