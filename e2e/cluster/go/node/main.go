// One binary with the parts of Kubernetes that a node with pods needs beside the control plane (../kubernetes, a binary of its
// own so that tests without pods need not wait for this build); the first argument says which part to be.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var commands = map[string]func() *cobra.Command{
	"kubelet":        func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kube-proxy":     proxy.NewProxyCommand,
	"kube-scheduler": func() *cobra.Command { return scheduler.NewSchedulerCommand() },
}

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	part := os.Args[1]
	// Every part reads os.Args itself, as if it had been started under its own name.
	os.Args = slices.Concat([]string{part}, os.Args[2:])
	newCommand, known := commands[part]
	if !known {
		usage()
	}
	os.Exit(cli.Run(newCommand()))
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: node kubelet|kube-proxy|kube-scheduler [flags]")
	os.Exit(2)
}
