// Command kubernetes is a whole Kubernetes in one program: its first argument says which part of it to be. The tests start one node with it
// (internal/kubetest), so that they need no registry, no Docker and no cluster of somebody else.
//
// It is a module of its own, outside go.work: Kubernetes is only importable with a replace for each of its staging modules, and these must
// govern no build of ours.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // the parts expect their metrics to be registered by whoever has main
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: kubernetes etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubelet FLAGS")
	}
	os.Args = os.Args[1:] // all of them read os.Args
	var part *cobra.Command
	switch os.Args[0] {
	case "etcd":
		etcdmain.Main(os.Args)
		return
	case "kube-apiserver":
		part = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		part = manager.NewControllerManagerCommand()
	case "kube-scheduler":
		part = scheduler.NewSchedulerCommand()
	case "kubelet":
		part = kubelet.NewKubeletCommand(context.Background())
	default:
		fail("kubernetes: there is no part " + os.Args[0])
	}
	os.Exit(cli.Run(part))
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(2)
}
