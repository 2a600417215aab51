#!/bin/bash
# The first process of a cluster's namespaces: starts every part of one node and stays. Killing it ends them all, Pods included.
# Environment: BIN (kubernetes), ROOT (unpacked packages), DIR (this cluster's folder), IP (of the node), GATEWAY, PODS (network),
# CGROUP (its own, because a kubelet removes cgroups of Pods it does not know).
set -euo pipefail
P=$DIR/pki
export PATH=$ROOT/usr/sbin:$ROOT/usr/bin:$PATH LD_LIBRARY_PATH=$ROOT/usr/lib/x86_64-linux-gnu:$ROOT/usr/lib/aarch64-linux-gnu

hostname node1
# kubelet and the network plugins write to fixed paths: private ones leave nothing on the host, and two clusters do not meet
for d in /run /var/lib /var/log; do mount -t tmpfs tmpfs $d; done
mkdir -p /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers /run/containerd "$DIR"/{kubelet,cni,plugins}
ip link set lo up
ip addr add 10.0.0.1/32 dev lo # the Service "kubernetes", answered by the API server itself
until ip link show node0 >/dev/null 2>&1; do sleep 0.05; done # the other end is outside
ip addr add "$IP/24" dev node0
ip link set node0 up
ip route add default via "$GATEWAY"
echo 1 >/proc/sys/net/ipv4/ip_forward
mount --make-rshared /

"$BIN" etcd --data-dir="$DIR/etcd" --unsafe-no-fsync --log-level=warn --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
  --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 --initial-cluster=default=http://127.0.0.1:2380 >"$DIR/etcd.log" 2>&1 &

again() { # COMMAND…: a test kills it, and it is there again
  while :; do
    "$@" &
    echo $! >"$DIR/$2.pid"
    wait $! || true
  done
}
again "$BIN" kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --advertise-address="$IP" --secure-port=443 \
    --service-cluster-ip-range=10.0.0.0/24 --client-ca-file="$P/ca.crt" --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$P/sa.pub" --service-account-signing-key-file="$P/sa.key" \
    --kubelet-client-certificate="$P/apiserver-kubelet.crt" --kubelet-client-key="$P/apiserver-kubelet.key" --kubelet-certificate-authority="$P/ca.crt" \
    --kubelet-preferred-address-types=InternalIP --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction >"$DIR/kube-apiserver.log" 2>&1 &

for c in cpu cpuacct cpuset memory devices freezer blkio pids systemd; do
  if [ -d "/sys/fs/cgroup/$c" ]; then mkdir -p "/sys/fs/cgroup/$c$CGROUP"; fi
done
for f in cpuset.cpus cpuset.mems; do
  if [ -f "/sys/fs/cgroup/cpuset/$f" ]; then cat "/sys/fs/cgroup/cpuset/$f" >"/sys/fs/cgroup/cpuset$CGROUP/$f"; fi
done

cat >"$DIR/containerd.toml" <<C
version = 2
root = "$DIR/containerd"
state = "/run/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs","io.containerd.snapshotter.v1.zfs","io.containerd.snapshotter.v1.aufs","io.containerd.snapshotter.v1.devmapper","io.containerd.internal.v1.opt"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.test/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".registry.mirrors."$GATEWAY:5000"]
    endpoint = ["http://$GATEWAY:5000"]
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$ROOT/usr/lib/cni"
    conf_dir = "$DIR/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "$ROOT/usr/sbin/runc"
        SystemdCgroup = false
C
cat >"$DIR/cni/10-bridge.conflist" <<C
{"cniVersion":"0.4.0","name":"pods","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,"forceAddress":true,
  "ipam":{"type":"host-local","dataDir":"/run/cni-ipam","ranges":[[{"subnet":"$PODS"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"loopback"}]}
C
containerd -c "$DIR/containerd.toml" >"$DIR/containerd.log" 2>&1 &
runtime() { ctr -a /run/containerd/containerd.sock -n k8s.io "$@"; }
until runtime version >/dev/null 2>&1; do sleep 0.1; done
for image in "$DIR"/images/*.tar; do runtime images import "$image" >/dev/null; done

until [ -e "$DIR/go" ]; do sleep 0.05; done # the API server answers
"$BIN" kube-controller-manager --kubeconfig="$P/admin.kubeconfig" --authentication-kubeconfig="$P/manager.kubeconfig" --authorization-kubeconfig="$P/manager.kubeconfig" \
  --service-account-private-key-file="$P/sa.key" --root-ca-file="$P/ca.crt" --use-service-account-credentials=false --leader-elect=false --bind-address=127.0.0.1 \
  --flex-volume-plugin-dir="$DIR/plugins" --kube-api-qps=500 --kube-api-burst=1000 --cluster-signing-cert-file="$P/ca.crt" --cluster-signing-key-file="$P/ca.key" >"$DIR/kube-controller-manager.log" 2>&1 &
"$BIN" kube-scheduler --kubeconfig="$P/scheduler.kubeconfig" --authentication-kubeconfig="$P/scheduler.kubeconfig" --authorization-kubeconfig="$P/scheduler.kubeconfig" \
  --leader-elect=false --bind-address=127.0.0.1 --kube-api-qps=500 --kube-api-burst=1000 >"$DIR/kube-scheduler.log" 2>&1 &
: >"$DIR/resolv.conf"
cat >"$DIR/kubelet.yaml" <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $P/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $P/kubelet-serving.crt
tlsPrivateKeyFile: $P/kubelet-serving.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: $CGROUP
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
localStorageCapacityIsolation: true
resolvConf: $DIR/resolv.conf
clusterDomain: cluster.local
clusterDNS: [10.0.0.10]
maxPods: 200
evictionHard: {memory.available: "100Mi", nodefs.available: "1%", imagefs.available: "1%"}
imageGCHighThresholdPercent: 100
volumePluginDir: $DIR/plugins
podLogsDir: $DIR/podlogs
C
"$BIN" kubelet --config="$DIR/kubelet.yaml" --kubeconfig="$P/kubelet.kubeconfig" --root-dir="$DIR/kubelet" --hostname-override=node1 --node-ip="$IP" >"$DIR/kubelet.log" 2>&1 &

while :; do # the first process reaps
  wait -n 2>/dev/null || sleep 0.2
done
