package api

import (
	"net/http"
	"time"

	"gantry.example/services/postgres"
)

// tfeConfigurationRoutes are TFE's calls about configuration versions.
func (s *Server) tfeConfigurationRoutes() []route {
	const of, one = "/api/v2/workspaces/{workspace}/configuration-versions", "/api/v2/configuration-versions/{configuration}"
	return []route{
		{method: "GET", pattern: of, access: person, summary: "List a workspace's configuration versions, newest first", out: []tfeConfiguration{}, query: paging(), handle: s.listConfigurations},
		{method: "POST", pattern: of, access: person, summary: "Create a configuration version, to be uploaded",
			in: tfeConfigurationInput{}, out: tfeConfiguration{}, status: http.StatusCreated, create: true, handle: s.createConfiguration},
		{method: "GET", pattern: one, access: person, summary: "Show a configuration version", out: tfeConfiguration{}, query: []string{"include"}, handle: s.showConfiguration},
		{method: "GET", pattern: one + "/download", access: person, summary: "Download the archive (tar.gz) of a configuration version", out: []byte{}, media: kindBytes, handle: s.downloadConfiguration},
	}
}

func (s *Server) listConfigurations(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	all, total, err := s.db.Configurations(r.Context(), w.ID, p)
	if err != nil {
		return reply{}, err
	}
	out := make([]*tfeConfiguration, len(all))
	for i, cv := range all {
		out[i] = s.configurationDocument(r, cv)
	}
	return list(out, p, total)
}

func (s *Server) downloadConfiguration(r *request) (reply, error) {
	id := r.PathValue("configuration")
	blob, err := s.db.Blob(r.Context(), id, postgres.BlobConfiguration)
	if isNotFound(err) {
		err = notFound("archive of configuration version", id)
	}
	return blobReply(blob, kindBytes, err)
}

// How long signed addresses stay good. A log is read while its run lasts.
const (
	uploadLife = time.Hour
	logLife    = 24 * time.Hour
)

// tfeConfiguration is a configuration version.
type tfeConfiguration struct {
	ID               string  `jsonapi:"primary,configuration-versions"`
	Status           string  `jsonapi:"attr,status"`
	Source           string  `jsonapi:"attr,source"`
	Speculative      bool    `jsonapi:"attr,speculative"`
	Provisional      bool    `jsonapi:"attr,provisional"`
	AutoQueueRuns    bool    `jsonapi:"attr,auto-queue-runs"`
	Error            *string `jsonapi:"attr,error"`
	ErrorMessage     *string `jsonapi:"attr,error-message"`
	UploadURL        *string `jsonapi:"attr,upload-url"` // until it is uploaded
	StatusTimestamps stamps  `jsonapi:"attr,status-timestamps"`
}

type tfeConfigurationInput struct {
	ID            string `jsonapi:"primary,configuration-versions"`
	Speculative   bool   `jsonapi:"attr,speculative"`
	Provisional   bool   `jsonapi:"attr,provisional"`
	AutoQueueRuns bool   `jsonapi:"attr,auto-queue-runs"`
}

// sourceAPI is TFE's name of the source of everything made by this API.
const sourceAPI = "tfe-api"

func (s *Server) answerConfiguration(r *request, cv postgres.ConfigurationVersion) (reply, error) {
	return object(s.configurationDocument(r, cv))
}

func (s *Server) configurationDocument(r *request, cv postgres.ConfigurationVersion) *tfeConfiguration {
	doc := &tfeConfiguration{
		ID: cv.ID, Status: cv.Status, Source: cv.Source, Speculative: cv.Speculative, Provisional: cv.Provisional,
		AutoQueueRuns: cv.AutoQueueRuns, StatusTimestamps: stamps{},
	}
	doc.StatusTimestamps.set("queued-at", &cv.CreatedAt)
	doc.StatusTimestamps.set("finished-at", cv.UploadedAt)
	if cv.Status == postgres.ConfigurationPending && r.role.Covers(postgres.RolePlan) { // the address is the permission
		u := s.link("/api/v2/signed/%s/configuration-versions/%s", s.signer.sign(signedUpload, cv.ID, time.Now().Add(uploadLife)), cv.ID)
		doc.UploadURL = &u
	}
	return doc
}

func (s *Server) createConfiguration(r *request) (reply, error) {
	var in tfeConfigurationInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	if in.AutoQueueRuns {
		return reply{}, invalid("field auto-queue-runs: not supported by this server yet: send false, upload the archive, then create the run")
	}
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	cv, err := s.db.CreateConfigurationVersion(r.Context(), postgres.NewConfigurationVersion{
		WorkspaceID: w.ID, Speculative: in.Speculative, Provisional: in.Provisional, Source: sourceAPI,
	})
	if err != nil {
		return reply{}, err
	}
	return s.answerConfiguration(r, cv)
}

func (s *Server) showConfiguration(r *request) (reply, error) {
	cv, err := s.db.ConfigurationVersion(r.Context(), r.PathValue("configuration"))
	if err != nil {
		return reply{}, err
	}
	return s.answerConfiguration(r, cv)
}
