// cert-manager's own controllers for the CA and self-signed issuers, as one process with nothing around it: no webhook,
// no leader election, no metrics. `cert-manager --kubeconfig FILE`; runs until SIGTERM.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/cert-manager/cert-manager/pkg/controller"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
)

const workersPerController = 2

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of a cluster administrator")
	resourceNamespace := flag.String("cluster-resource-namespace", "cert-manager", "namespace of the Secrets of ClusterIssuers")
	// cert-manager itself waits an hour after a failed request; a test that breaks an issuer and mends it cannot.
	minimumBackoff := flag.Duration("minimum-backoff", time.Second, "first wait after a failed CertificateRequest")
	maximumBackoff := flag.Duration("maximum-backoff", 30*time.Second, "longest wait after a failed CertificateRequest")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	options := controller.ContextOptions{Kubeconfig: *kubeconfig}
	options.ClusterResourceNamespace = *resourceNamespace
	options.CertificateRequestMinimumBackoffDuration = *minimumBackoff
	options.CertificateRequestMaximumBackoffDuration = *maximumBackoff
	if err := run(ctx, options); err != nil {
		fmt.Fprintln(os.Stderr, "cert-manager:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, options controller.ContextOptions) error {
	factory, err := controller.NewContextFactory(ctx, options)
	if err != nil {
		return err
	}
	controllers := make(map[string]controller.Interface)
	for name, construct := range controller.Known() {
		if controllers[name], err = construct(factory); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	// Informers start only after every constructor has registered its own, else the late ones never sync.
	shared, err := factory.Build()
	if err != nil {
		return err
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())

	var running sync.WaitGroup
	failures := make(chan error, len(controllers))
	for name, each := range controllers {
		running.Go(func() {
			if err := each.Run(workersPerController, ctx); err != nil {
				failures <- fmt.Errorf("%s: %w", name, err)
			}
		})
	}
	fmt.Fprintln(os.Stderr, "cert-manager: running", len(controllers), "controllers")
	select {
	case err := <-failures:
		return err
	case <-ctx.Done():
		running.Wait()
		return nil
	}
}
