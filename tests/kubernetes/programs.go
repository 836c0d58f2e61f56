//go:build tools

// Package kubernetes names the programs of Kubernetes that `./hj kubernetes` builds, so that go.sum keeps their sums.
package kubernetes

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
)
