-- +goose Up

-- A k8s config is a pool whose tasks run in Pods: where, and what those are by default.
CREATE TABLE k8s_configs (
    pool_id          text PRIMARY KEY REFERENCES pools (id) ON DELETE CASCADE,
    cluster          text NOT NULL,             -- in_cluster, kubeconfig, remote
    server           text NOT NULL DEFAULT '',  -- address of the cluster's API, for people
    sealed           bytea,                     -- credentials of a kubeconfig
    namespace        text NOT NULL,
    namespaces       jsonb NOT NULL DEFAULT '[]',
    service_accounts jsonb NOT NULL DEFAULT '[]',
    pod_template     jsonb,
    runner_image     text NOT NULL DEFAULT '',
    max_pods         integer NOT NULL,
    token            bytea,                     -- sealed: the pool's token of the server's own dispatcher
    version          bigint NOT NULL DEFAULT 1
);
