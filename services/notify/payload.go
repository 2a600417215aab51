package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// payload is what a generic receiver gets, as TFE sends it.
type payload struct {
	Version          int        `json:"payload_version"`
	ConfigurationID  string     `json:"notification_configuration_id"`
	RunURL           *string    `json:"run_url"`
	RunID            *string    `json:"run_id"`
	RunMessage       *string    `json:"run_message"`
	RunCreatedAt     *time.Time `json:"run_created_at"`
	RunCreatedBy     *string    `json:"run_created_by"`
	WorkspaceID      *string    `json:"workspace_id"`
	WorkspaceName    *string    `json:"workspace_name"`
	OrganizationName *string    `json:"organization_name"`
	Notifications    []happened `json:"notifications"`
}

type happened struct {
	Message      string      `json:"message"`
	Trigger      string      `json:"trigger"`
	RunStatus    *run.Status `json:"run_status"`
	RunUpdatedAt *time.Time  `json:"run_updated_at"`
	RunUpdatedBy *string     `json:"run_updated_by"`
}

// runURL is the page of the run.
func (s *Sender) runURL(n postgres.Notification) string {
	return fmt.Sprintf("%s/app/%s/%s/runs/%s", s.publicURL, n.OrganizationName, n.WorkspaceName, n.Run.ID)
}

// body is what the receiver of the notification gets.
func (s *Sender) body(n postgres.Notification) ([]byte, error) {
	r, url := n.Run, s.runURL(n)
	if n.Configuration.Destination == postgres.DestinationSlack {
		text := fmt.Sprintf("*%s* in %s/%s: <%s|%s> by %s", words(n), slackText(n.OrganizationName), slackText(n.WorkspaceName), slackText(url), r.ID, slackText(r.CreatedBy))
		if r.Note != "" {
			text += "\n" + slackText(firstLine(r.Note))
		}
		return slackBody(text)
	}
	return json.Marshal(payload{
		Version: 1, ConfigurationID: n.Configuration.ID, RunURL: &url, RunID: &r.ID, RunMessage: &r.Note, RunCreatedAt: &r.CreatedAt, RunCreatedBy: &r.CreatedBy,
		WorkspaceID: &r.WorkspaceID, WorkspaceName: &n.WorkspaceName, OrganizationName: &n.OrganizationName,
		Notifications: []happened{{Message: words(n), Trigger: n.Trigger, RunStatus: &n.RunStatus, RunUpdatedAt: &n.At, RunUpdatedBy: &n.Actor}},
	})
}

// verification is what the receiver of a configuration gets before it is used.
func verification(c postgres.NotificationConfiguration) ([]byte, error) {
	text := "Verification of " + c.Name
	if c.Destination == postgres.DestinationSlack {
		return slackBody(slackText(text))
	}
	return json.Marshal(payload{Version: 1, ConfigurationID: c.ID, Notifications: []happened{{Message: text, Trigger: "verification"}}})
}

// words say what happened, as TFE does.
func words(n postgres.Notification) string {
	switch n.Trigger {
	case postgres.TriggerCreated:
		return "Run Created"
	case postgres.TriggerPlanning:
		return "Run Planning"
	case postgres.TriggerNeedsAttention:
		return "Run Needs Attention"
	case postgres.TriggerApplying:
		return "Run Applying"
	}
	switch n.RunStatus {
	case run.Applied:
		return "Run Applied"
	case run.PlannedAndFinished:
		return "Run Planned and Finished"
	case run.Canceled, run.ForceCanceled:
		return "Run Canceled"
	default:
		return "Run Errored"
	}
}

func slackBody(text string) ([]byte, error) {
	return json.Marshal(map[string]string{"text": text})
}

// slackText escapes what Slack gives a meaning.
func slackText(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
