// SPDX-License-Identifier: Apache-2.0

package object

// Use `make generate`: BPF2GO_CC and BPF2GO_CFLAGS come from the Makefile.
//go:generate go tool bpf2go -tags linux -type auth_context -type claim -type hello -target bpfel,bpfeb BPF ../../bpf/vipd.bpf.c
//go:generate go tool bpf2go -tags linux -no-global-types -target bpfel,bpfeb Ingress ../../bpf/ingress.bpf.c
