package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"gantry.example/internal/secrets"
	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// Bounds of how many Pods of a config are in flight at the same time.
const (
	DefaultMaxPods = 50
	MaxPods        = 5000
)

// K8sChange is what a k8s config is created from, and how it is changed: nil fields stay.
type K8sChange struct {
	Name            *string
	Access          *ClusterAccess
	Namespace       *string
	Namespaces      *[]string
	ServiceAccounts *[]string
	PodTemplate     *messages.PodTemplate
	RunnerImage     *string
	MaxPods         *int
}

// ClusterAccess is how a cluster is reached. Credentials are those of a kubeconfig, else nil.
type ClusterAccess struct {
	Kind        wire.ClusterKind
	Credentials *wire.Cluster
}

type k8sRow struct {
	ID              string           `db:"id"`
	Number          int64            `db:"number"`
	Name            string           `db:"name"`
	OrganizationID  string           `db:"organization_id"`
	Organization    string           `db:"organization"`
	Cluster         wire.ClusterKind `db:"cluster"`
	Server          string           `db:"server"`
	Sealed          []byte           `db:"sealed"`
	Namespace       string           `db:"namespace"`
	Namespaces      jsonTexts        `db:"namespaces"`
	ServiceAccounts jsonTexts        `db:"service_accounts"`
	PodTemplate     []byte           `db:"pod_template"`
	RunnerImage     string           `db:"runner_image"`
	MaxPods         int              `db:"max_pods"`
	Token           []byte           `db:"token"`
	Version         int64            `db:"version"`
	CreatedAt       time.Time        `db:"created_at"`
}

const selectK8s = `
	SELECT p.id, p.number, p.name, p.organization_id, o.name AS organization, p.created_at, k.cluster, k.server, k.sealed, k.namespace,
	       k.namespaces, k.service_accounts, k.pod_template, k.runner_image, k.max_pods, k.token, k.version
	FROM k8s_configs k JOIN pools p ON p.id = k.pool_id JOIN organizations o ON o.id = p.organization_id`

func clusterPlace(id string) []byte { return []byte("k8s_configs/" + id + "/cluster") }

func dispatcherPlace(id string) []byte { return []byte("k8s_configs/" + id + "/token") }

func (r k8sRow) config() (wire.K8sConfig, error) {
	out := wire.K8sConfig{
		ID: r.ID, Number: r.Number, Name: r.Name, Organization: r.Organization, Cluster: r.Cluster, Server: r.Server, Namespace: r.Namespace,
		Namespaces: r.Namespaces, ServiceAccounts: r.ServiceAccounts, RunnerImage: r.RunnerImage, MaxPods: r.MaxPods, Version: r.Version, CreatedAt: r.CreatedAt,
	}
	if len(r.PodTemplate) > 0 {
		if err := json.Unmarshal(r.PodTemplate, &out.PodTemplate); err != nil {
			return out, fmt.Errorf("pod_template of k8s config %s: %w", r.ID, err)
		}
	}
	return out, nil
}

// apply lays the change over the row. Errors: invalid.
func (in K8sChange) apply(d *DB, r *k8sRow) error {
	if in.Name != nil {
		r.Name = *in.Name
	}
	if in.Access != nil {
		r.Cluster, r.Server, r.Sealed = in.Access.Kind, "", nil
		if c := in.Access.Credentials; c != nil {
			plain, err := json.Marshal(c)
			if err != nil {
				return err
			}
			r.Server = c.Server
			if r.Sealed, err = d.seal.Seal(plain, clusterPlace(r.ID)); err != nil {
				return err
			}
		}
	}
	if in.Namespace != nil {
		r.Namespace = *in.Namespace
	}
	if in.Namespaces != nil {
		r.Namespaces = *in.Namespaces
	}
	if in.ServiceAccounts != nil {
		r.ServiceAccounts = *in.ServiceAccounts
	}
	if in.RunnerImage != nil {
		r.RunnerImage = *in.RunnerImage
	}
	if in.MaxPods != nil {
		r.MaxPods = *in.MaxPods
	}
	if in.PodTemplate != nil {
		var err error
		if r.PodTemplate, err = json.Marshal(in.PodTemplate); err != nil {
			return err
		}
	}
	return r.check(in)
}

func (r k8sRow) check(in K8sChange) error {
	if err := checkPoolName("k8s config", r.Name); err != nil {
		return err
	}
	wrong := func(field, format string, args ...any) error {
		return fail(messages.CodeInvalid, "k8s config %s: field %s: %s", r.Name, field, fmt.Sprintf(format, args...))
	}
	switch {
	case r.Cluster == wire.ClusterKubeconfig && r.Sealed == nil:
		return wrong("kubeconfig", "missing: cluster %q is reached by one", r.Cluster)
	case !slices.Contains([]wire.ClusterKind{wire.ClusterIn, wire.ClusterKubeconfig, wire.ClusterRemote}, r.Cluster):
		return wrong("cluster", "%q is not one of in_cluster, kubeconfig, remote", r.Cluster)
	case r.MaxPods < 1 || r.MaxPods > MaxPods:
		return wrong("max_pods", "%d is not within 1 and %d", r.MaxPods, MaxPods)
	}
	if err := (messages.PodTemplate{Image: r.RunnerImage}).Validate("runner"); err != nil {
		return wrong("runner_image", "%q is not the name of an image", r.RunnerImage)
	}
	for _, n := range append([]string{r.Namespace}, r.Namespaces...) {
		if !messages.ValidNamespace(n) {
			return wrong("namespace", "%q is not the name of a namespace: lower-case letters, digits and -", n)
		}
	}
	for _, a := range r.ServiceAccounts {
		if !messages.ValidNamespace(strings.ReplaceAll(a, ".", "-")) {
			return wrong("service_accounts", "%q is not the name of a ServiceAccount", a)
		}
	}
	if in.PodTemplate != nil {
		return in.PodTemplate.Validate("pod_template")
	}
	return nil
}

// CreateK8sConfig creates a config in the organization (id or name). Errors: not_found, invalid, name_taken.
func (d *DB) CreateK8sConfig(ctx context.Context, organization string, in K8sChange) (wire.K8sConfig, error) {
	o, err := d.Organization(ctx, organization)
	if err != nil {
		return wire.K8sConfig{}, err
	}
	row := k8sRow{ID: messages.NewID("kcfg-"), MaxPods: DefaultMaxPods, Namespaces: jsonTexts{}, ServiceAccounts: jsonTexts{}}
	if err := in.apply(d, &row); err != nil {
		return wire.K8sConfig{}, err
	}
	err = d.tx(ctx, func(tx *txn) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO pools (id, organization_id, mode, name, created_at) VALUES ($1, $2, $3, $4, $5)`,
			row.ID, o.ID, messages.ModeK8s, row.Name, now()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO k8s_configs (pool_id, cluster, namespace, max_pods) VALUES ($1, '', '', 0)`, row.ID); err != nil {
			return err
		}
		return row.store(ctx, tx)
	})
	if uniqueViolation(err) {
		return wire.K8sConfig{}, fail(messages.CodeNameTaken, "organization %s already has a pool or k8s config named %q", o.Name, row.Name)
	}
	if err != nil {
		return wire.K8sConfig{}, err
	}
	return d.K8sConfig(ctx, row.ID)
}

// UpdateK8sConfig changes a config (id or number). Runs that exist keep their target. Errors: not_found, invalid, name_taken.
func (d *DB) UpdateK8sConfig(ctx context.Context, ref string, in K8sChange) (wire.K8sConfig, error) {
	var row k8sRow
	err := d.tx(ctx, func(tx *txn) error {
		var err error
		if row, err = k8sByRef(ctx, tx, ref, ` FOR UPDATE OF k`); err != nil {
			return err
		}
		if err := in.apply(d, &row); err != nil {
			return err
		}
		return row.store(ctx, tx)
	})
	if uniqueViolation(err) {
		return wire.K8sConfig{}, fail(messages.CodeNameTaken, "organization %s already has a pool or k8s config named %q", row.Organization, row.Name)
	}
	if err != nil {
		return wire.K8sConfig{}, err
	}
	return d.K8sConfig(ctx, row.ID)
}

func (r k8sRow) store(ctx context.Context, tx *txn) error {
	lists := make([][]byte, 2)
	for i, list := range [][]string{r.Namespaces, r.ServiceAccounts} {
		var err error
		if lists[i], err = json.Marshal(append([]string{}, list...)); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE pools SET name = $2 WHERE id = $1`, r.ID, r.Name); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE k8s_configs SET cluster = $2, server = $3, sealed = $4, namespace = $5, namespaces = $6, service_accounts = $7, pod_template = $8,
		  max_pods = $9, runner_image = $10, version = version + 1 WHERE pool_id = $1`,
		r.ID, r.Cluster, r.Server, r.Sealed, r.Namespace, lists[0], lists[1], nullable(r.PodTemplate), r.MaxPods, r.RunnerImage)
	return err
}

func nullable(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

func k8sByRef(ctx context.Context, q querier, ref, lock string) (k8sRow, error) {
	var row k8sRow
	err := q.GetContext(ctx, &row, selectK8s+` WHERE p.id = $1 OR p.number::text = $1`+lock, ref)
	if noRows(err) {
		return row, notFound("k8s config", ref)
	}
	return row, err
}

// K8sConfig finds a config by id or number. Errors: not_found.
func (d *DB) K8sConfig(ctx context.Context, ref string) (wire.K8sConfig, error) {
	row, err := k8sByRef(ctx, d.q(ctx), ref, "")
	if err != nil {
		return wire.K8sConfig{}, err
	}
	return row.config()
}

// K8sConfigs lists the configs of an organization (id or name) by name.
func (d *DB) K8sConfigs(ctx context.Context, organization string) ([]wire.K8sConfig, error) {
	o, err := d.Organization(ctx, organization)
	if err != nil {
		return nil, err
	}
	var rows []k8sRow
	if err := d.q(ctx).SelectContext(ctx, &rows, selectK8s+` WHERE p.organization_id = $1 ORDER BY lower(p.name)`, o.ID); err != nil {
		return nil, err
	}
	out := make([]wire.K8sConfig, len(rows))
	for i, r := range rows {
		if out[i], err = r.config(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// DeleteK8sConfig removes a config (id or number) with its tokens, unless somebody still needs it. Errors: not_found, conflict.
func (d *DB) DeleteK8sConfig(ctx context.Context, ref string) error {
	r, err := k8sByRef(ctx, d.q(ctx), ref, "")
	if err != nil {
		return err
	}
	return d.deletePool(ctx, poolUse{what: "k8s config", id: r.ID, name: r.Name, organizationID: r.OrganizationID, organization: r.Organization, field: "k8s_config_id"})
}

// Cluster returns how the cluster of a config (id) is reached; of one that is not reached by a kubeconfig there are no
// credentials. Errors: not_found.
func (d *DB) Cluster(ctx context.Context, id string) (ClusterAccess, error) {
	r, err := k8sByRef(ctx, d.q(ctx), id, "")
	if err != nil {
		return ClusterAccess{}, err
	}
	return d.openCluster(r)
}

func (d *DB) openCluster(r k8sRow) (ClusterAccess, error) {
	out := ClusterAccess{Kind: r.Cluster}
	if r.Sealed == nil {
		return out, nil
	}
	plain, err := d.seal.Open(r.Sealed, clusterPlace(r.ID))
	if err == nil {
		err = json.Unmarshal(plain, &out.Credentials)
	}
	if err != nil {
		return out, fmt.Errorf("credentials of k8s config %s: %w", r.ID, err)
	}
	return out, nil
}

// Dispatched is a config that the server's own dispatcher serves: how its cluster is reached, and the token of the pool.
type Dispatched struct {
	wire.K8sConfig
	Access ClusterAccess
	Token  string
}

// Dispatched lists the configs whose Pods the server itself creates, which are all but the remote ones, of all organizations.
func (d *DB) Dispatched(ctx context.Context) ([]Dispatched, error) {
	var rows []k8sRow
	if err := d.q(ctx).SelectContext(ctx, &rows, selectK8s+` WHERE k.cluster <> $1 ORDER BY p.id`, wire.ClusterRemote); err != nil {
		return nil, err
	}
	out := make([]Dispatched, len(rows))
	for i, r := range rows {
		var err error
		if out[i].K8sConfig, err = r.config(); err != nil {
			return nil, err
		}
		if out[i].Access, err = d.openCluster(r); err != nil {
			return nil, err
		}
		if out[i].Token, err = d.dispatcherToken(ctx, r.ID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// dispatcherToken is the pool's token of the server's own dispatchers, made at first use, and anew once somebody revoked it.
// It is sealed beside the config, because every server of an installation needs the same.
func (d *DB) dispatcherToken(ctx context.Context, id string) (string, error) {
	var token string
	err := d.tx(ctx, func(tx *txn) error {
		row, err := k8sByRef(ctx, tx, id, ` FOR UPDATE OF k`)
		if err != nil {
			return err
		}
		if row.Token != nil {
			plain, err := d.seal.Open(row.Token, dispatcherPlace(id))
			if err != nil {
				return fmt.Errorf("token of k8s config %s: %w", id, err)
			}
			token = string(plain)
			var good bool
			if err := tx.GetContext(ctx, &good, `SELECT EXISTS (SELECT 1 FROM tokens WHERE hash = $1 AND revoked_at IS NULL)`,
				secrets.HashToken(token)); err != nil || good {
				return err
			}
		}
		token = secrets.NewToken(PrefixPool)
		sealed, err := d.seal.Seal([]byte(token), dispatcherPlace(id))
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO tokens (id, hash, kind, pool_id, description, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			messages.NewID("at-"), secrets.HashToken(token), TokenPool, id, "the server's own dispatcher", now()); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE k8s_configs SET token = $2 WHERE pool_id = $1`, id, sealed)
		return err
	})
	return token, err
}

// usableConfig finds the config that an execution document names by id, name or number, keeps it from being deleted until the
// transaction ends, and returns the document with what the config says where it does not. Errors: execution.invalid.
func usableConfig(ctx context.Context, q querier, at place, doc messages.Execution) (messages.Execution, error) {
	wrong := func(path, format string, args ...any) error {
		return &messages.FieldError{Path: path, Code: messages.CodeExecutionInvalid, Problem: fmt.Sprintf(format, args...)}
	}
	var row k8sRow
	err := q.GetContext(ctx, &row, selectK8s+`
		WHERE p.organization_id = $1 AND (p.id = $2 OR lower(p.name) = lower($2) OR p.number::text = $2)
		ORDER BY p.id = $2 DESC LIMIT 1 FOR KEY SHARE OF p`, at.organization, doc.K8sConfig)
	if noRows(err) {
		return doc, wrong("k8s_config_id", "the organization has no k8s config %q; see gantry k8s list", doc.K8sConfig)
	}
	if err != nil {
		return doc, err
	}
	cfg, err := row.config()
	if err != nil {
		return doc, err
	}
	if doc.Namespace != "" && doc.Namespace != cfg.Namespace && !slices.Contains(cfg.Namespaces, doc.Namespace) {
		return doc, wrong("namespace", "k8s config %s runs nothing in %q, only in %s: an admin adds it with gantry k8s edit",
			cfg.Name, doc.Namespace, strings.Join(append([]string{cfg.Namespace}, cfg.Namespaces...), ", "))
	}
	if t := doc.PodTemplate; t != nil && t.ServiceAccount != "" && !mayBe(cfg, t.ServiceAccount) {
		return doc, wrong("pod_template.service_account", "k8s config %s does not let runs be ServiceAccount %q: an admin adds it with gantry k8s edit",
			cfg.Name, t.ServiceAccount)
	}
	doc.K8sConfig = messages.Ref(cfg.ID)
	if doc.Namespace == "" {
		doc.Namespace = cfg.Namespace
	}
	doc.PodTemplate = doc.PodTemplate.Over(cfg.PodTemplate)
	if doc.PodTemplate == nil || doc.PodTemplate.Image == "" {
		return doc, wrong("pod_template.image", "missing: neither the document nor k8s config %s says which image to run, such as hashicorp/terraform:1.11.4", cfg.Name)
	}
	return doc, nil
}

// mayBe reports whether a run of the config may be the ServiceAccount: that of the config's own template, or one of its list.
func mayBe(cfg wire.K8sConfig, account string) bool {
	return cfg.PodTemplate != nil && cfg.PodTemplate.ServiceAccount == account || slices.Contains(cfg.ServiceAccounts, account)
}
