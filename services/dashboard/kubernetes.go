package dashboard

import (
	"net/http"

	"gantry.example/internal/wire"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// configRow is a k8s config with how much goes on there.
type configRow struct {
	wire.K8sConfig
	Address string
	Load    poolRow
}

// ClusterText says which cluster it is.
func (c configRow) ClusterText() string {
	switch c.Cluster {
	case wire.ClusterIn:
		return "the server’s own cluster"
	case wire.ClusterRemote:
		return "a cluster with a dispatcher of its own"
	}
	return c.Server
}

func (s *Server) configRow(c wire.K8sConfig, loads []poolRow) configRow {
	row := configRow{K8sConfig: c, Address: pathKubernetes + "/" + c.ID}
	for _, p := range loads {
		if p.ID == c.ID {
			row.Load = p
		}
	}
	return row
}

type kubernetesView struct {
	frame
	Configs []configRow
}

// kubernetes lists the k8s configs.
func (s *Server) kubernetes(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	v := kubernetesView{frame: s.frame(&session, "Kubernetes").at(pathKubernetes)}
	v.Live = pathLive
	configs, err := s.cfg.DB.K8sConfigsOf(r.Context(), session.Holder)
	if err != nil {
		return err
	}
	loads, err := s.poolRows(r, session)
	if err != nil {
		return err
	}
	for _, c := range configs {
		v.Configs = append(v.Configs, s.configRow(c, loads))
	}
	return s.pages.write(w, http.StatusOK, "kubernetes.html", v)
}

// podRow is an attempt that has a Pod, or is about to have one.
type podRow struct {
	postgres.PlacedPod
	Heading, Address string
	Where            string
	Namespace        string
	Status           badge
}

type configView struct {
	frame
	Viewer  viewer
	Config  configRow
	Pods    []podRow
	Total   int
	Check   *wire.K8sCheck // what the cluster said just now
	Refused string         // why it was not asked
}

// kubernetesConfig is the page of a k8s config: its Pods, and what its cluster says when it is asked.
func (s *Server) kubernetesConfig(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	return s.showConfig(w, r, session, nil, "")
}

// checkConfig asks the cluster and shows the answer. Nothing is created there.
func (s *Server) checkConfig(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	c, _, err := s.configOf(r, session)
	if err != nil {
		return err
	}
	var check wire.K8sCheck
	err = s.call(r, session, "POST", "/api/gantry/v1/k8s-configs/"+c.ID+"/check", nil, &check)
	if no, ok := asRefusal(err); ok {
		return s.showConfig(w, r, session, nil, no.Detail)
	}
	if err != nil {
		return err
	}
	return s.showConfig(w, r, session, &check, "")
}

// configOf finds the k8s config of the path, for members of its organization.
func (s *Server) configOf(r *http.Request, session postgres.Session) (wire.K8sConfig, viewer, error) {
	who := viewer{Actor: session.Holder.Actor(), CSRF: session.CSRF}
	ref := r.PathValue("config")
	c, err := s.cfg.DB.K8sConfig(r.Context(), ref)
	if err == nil {
		who.Role, err = s.roleAt(r, session, "organization", c.Organization)
	}
	if notFound(err) || err == nil && who.Role == postgres.RoleNone {
		return wire.K8sConfig{}, who, missing("There is no k8s config %q. Those there are, are at %s.", ref, pathKubernetes)
	}
	return c, who, err
}

func (s *Server) showConfig(w http.ResponseWriter, r *http.Request, session postgres.Session, check *wire.K8sCheck, refused string) error {
	c, who, err := s.configOf(r, session)
	if err != nil {
		return err
	}
	loads, err := s.poolRows(r, session)
	if err != nil {
		return err
	}
	v := configView{
		frame:  s.frame(&session, c.Name+" · Kubernetes", link{"Kubernetes", pathKubernetes}, link{c.Name, pathKubernetes + "/" + c.ID}).at(pathKubernetes),
		Viewer: who, Config: s.configRow(c, loads), Check: check, Refused: refused,
	}
	v.Live = pathLive // the answer of the cluster is outside of what is read anew
	pods, total, err := s.cfg.DB.PodsInFlight(r.Context(), c.ID, listed)
	if err != nil {
		return err
	}
	v.Total = total
	for _, p := range pods {
		at := pathHome + escaped(p.Organization) + "/" + escaped(p.Workspace)
		row := podRow{
			PlacedPod: p, Heading: heading(p.Run), Address: at + "/runs/" + escaped(p.ID), Where: p.Organization + "/" + p.Workspace,
			Namespace: p.Execution.Namespace, Status: podBadge(p),
		}
		if row.Namespace == "" {
			row.Namespace = c.Namespace
		}
		v.Pods = append(v.Pods, row)
	}
	return s.pages.write(w, http.StatusOK, "kubernetes_config.html", v)
}

// podBadge is how far a Pod is, as the server knows it: from its dispatcher until the runner in it has started, then from the runner.
func podBadge(p postgres.PlacedPod) badge {
	switch {
	case p.State == run.AttemptClaimed && p.Waits != "":
		return badge{"Waiting", "attention"}
	case p.State == run.AttemptClaimed:
		return badge{"Starting", "neutral"}
	case p.State == run.AttemptLost:
		return badge{"Contact lost", "attention"}
	}
	return badge{"Running", "active"}
}
