package k8s

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	"gantry.example/internal/wire"
)

// CallsPerSecond is how many calls a second a dispatcher makes at most unless it is told otherwise: what a task costs, about six,
// times fifty tasks a second.
const CallsPerSecond = 300

// callLimit bounds one call.
const callLimit = 30 * time.Second

// Cluster is the API server of a cluster, for one dispatcher.
type Cluster struct {
	calls    kubernetes.Interface // those that have an end
	watching kubernetes.Interface
	lead     kubernetes.Interface // must not wait behind other calls
	asked    *calls               // what all three ask
}

// Connect prepares the clients of a cluster. It does not wait for it. perSecond bounds the calls, but not those of watching and
// of electing, which are few and must not wait.
func Connect(how *rest.Config, perSecond int) (*Cluster, error) {
	calls, watching, lead := rest.CopyConfig(how), rest.CopyConfig(how), rest.CopyConfig(how)
	calls.QPS, calls.Burst, calls.Timeout = float32(perSecond), 2*perSecond, callLimit
	lead.Timeout = renewWithin / 2
	c := &Cluster{asked: newCalls()}
	for _, one := range []struct {
		cfg *rest.Config
		to  *kubernetes.Interface
	}{{calls, &c.calls}, {watching, &c.watching}, {lead, &c.lead}} {
		// Less work than JSON, here and there; what is not to be had in it is asked for in JSON.
		one.cfg.ContentType, one.cfg.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
		c.asked.count(one.cfg)
		client, err := kubernetes.NewForConfig(one.cfg)
		if err != nil {
			return nil, fmt.Errorf("cluster %s: %w", how.Host, err)
		}
		*one.to = client
	}
	return c, nil
}

// ConnectTo prepares the clients of a cluster by its credentials; nil is the one this process runs in.
func ConnectTo(cluster *wire.Cluster, userAgent string, perSecond int) (*Cluster, error) {
	how, err := RestConfig(cluster, userAgent)
	if err != nil {
		return nil, err
	}
	return Connect(how, perSecond)
}

// ConnectFile prepares the clients of the cluster that a kubeconfig on this machine leads to; no path is the one this process runs in.
func ConnectFile(kubeconfig, userAgent string, perSecond int) (*Cluster, error) {
	if kubeconfig == "" {
		return ConnectTo(nil, userAgent, perSecond)
	}
	how, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	how.UserAgent = userAgent
	return Connect(how, perSecond)
}

// Over is a cluster that is reached by a client that there is already, such as one in memory.
func Over(client kubernetes.Interface) *Cluster {
	return &Cluster{calls: client, watching: client, lead: client, asked: newCalls()}
}

// The leader's Lease: another takes over at most about 20 s after one that was killed.
const (
	leaseLasts  = 15 * time.Second
	renewWithin = 10 * time.Second
	renewEvery  = 2 * time.Second
)

// Lead takes part in the election of the one dispatcher of the pool that judges Pods and cleans up, until ctx ends or the
// leadership that it had is lost. leading is called when it is won. identity tells the candidates apart.
func (c *Cluster) Lead(ctx context.Context, cfg Config, identity string, log *slog.Logger, leading func()) error {
	lock := &resourcelock.LeaseLock{
		LeaseMeta: metav1.ObjectMeta{Namespace: cfg.Namespace, Name: LeaseName(cfg.Pool)}, Client: c.lead.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: leaseLasts, RenewDeadline: renewWithin, RetryPeriod: renewEvery, ReleaseOnCancel: true, Name: cfg.Pool,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {
				log.Info("this dispatcher leads", "pool", cfg.Pool)
				leading()
			},
			OnStoppedLeading: func() { log.Info("this dispatcher does not lead any more", "pool", cfg.Pool) },
		},
	})
	if err != nil {
		return err
	}
	elector.Run(klog.NewContext(ctx, logr.FromSlogHandler(log.Handler()))) // or it speaks in a form of its own
	return nil
}

// LeaseName is the name of the Lease by which the dispatchers of a pool agree who leads.
func LeaseName(pool string) string { return ManagedBy + "-" + pool }
