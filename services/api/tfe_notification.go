package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/jsonapi"

	"gantry.example/services/postgres"
)

// Receivers are those outside that are told what runs do. Safe for concurrent use.
type Receivers interface {
	// Check refuses an address that nothing could be sent to. Errors: invalid.
	Check(url string) error
	// Verify sends the configuration's receiver a first message and says what became of it.
	Verify(ctx context.Context, c postgres.NotificationConfiguration) postgres.DeliveryResponse
}

// tfeNotification says who outside is told what runs of a workspace do.
type tfeNotification struct {
	ID                string                `jsonapi:"primary,notification-configurations"`
	Name              string                `jsonapi:"attr,name"`
	DestinationType   string                `jsonapi:"attr,destination-type"`
	Enabled           bool                  `jsonapi:"attr,enabled"`
	Triggers          []string              `jsonapi:"attr,triggers"`
	URL               string                `jsonapi:"attr,url"`
	Token             *string               `jsonapi:"attr,token"` // never shown
	DeliveryResponses []tfeDeliveryResponse `jsonapi:"attr,delivery-responses"`
	Failures          int                   `jsonapi:"attr,failures"` // Gantry's own: of deliveries in a row
	CreatedAt         time.Time             `jsonapi:"attr,created-at,iso8601"`
	UpdatedAt         time.Time             `jsonapi:"attr,updated-at,iso8601"`
	Subscribable      *workspaceRef         `jsonapi:"relation,subscribable"`
}

// tfeDeliveryResponse is what became of a delivery. TFE writes numbers and truths of it as texts.
type tfeDeliveryResponse struct {
	URL        string              `json:"url"`
	Code       string              `json:"code"`
	Body       string              `json:"body"`
	Headers    map[string][]string `json:"headers"`
	SentAt     time.Time           `json:"sent-at"`
	Successful string              `json:"successful"`
}

type tfeNotificationInput struct {
	ID              string   `jsonapi:"primary,notification-configurations"`
	Name            *string  `jsonapi:"attr,name"`
	DestinationType *string  `jsonapi:"attr,destination-type"`
	Enabled         *bool    `jsonapi:"attr,enabled"`
	Triggers        []string `jsonapi:"attr,triggers"`
	URL             *string  `jsonapi:"attr,url"`
	Token           *string  `jsonapi:"attr,token"`
}

// tfeNotificationRoutes are TFE's calls about who is told.
func (s *Server) tfeNotificationRoutes() []route {
	const of, one = "/api/v2/workspaces/{workspace}/notification-configurations", "/api/v2/notification-configurations/{notification}"
	return []route{
		{method: "GET", pattern: of, access: person, summary: "List who is told what a workspace's runs do", out: []tfeNotification{}, query: paging(), handle: s.listNotifications},
		{method: "POST", pattern: of, access: person, summary: "Tell a receiver what a workspace's runs do; one that is enabled has to take a first message",
			in: tfeNotificationInput{}, out: tfeNotification{}, status: http.StatusCreated, create: true, handle: s.createNotification},
		{method: "GET", pattern: one, access: person, summary: "Show a notification configuration and what became of the last deliveries", out: tfeNotification{}, handle: s.showNotification},
		{method: "PATCH", pattern: one, access: person, summary: "Change a notification configuration; one that is enabled has to take a first message",
			in: tfeNotificationInput{}, out: tfeNotification{}, handle: s.updateNotification},
		{method: "DELETE", pattern: one, access: person, summary: "Delete a notification configuration, with what waits to be told", handle: s.deleteNotification},
		{method: "POST", pattern: one + "/actions/verify", access: person, summary: "Send a receiver a message and see whether it takes it", out: tfeNotification{}, handle: s.verifyNotification},
	}
}

func notificationDocument(c postgres.NotificationConfiguration) *tfeNotification {
	out := &tfeNotification{
		ID: c.ID, Name: c.Name, DestinationType: c.Destination, Enabled: c.Enabled, Triggers: c.Triggers, URL: c.URL, Failures: c.Failures,
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, Subscribable: &workspaceRef{c.WorkspaceID}, DeliveryResponses: []tfeDeliveryResponse{},
	}
	for _, r := range c.Responses {
		out.DeliveryResponses = append(out.DeliveryResponses, tfeDeliveryResponse{
			URL: r.URL, Code: strconv.Itoa(r.Code), Body: r.Body, Headers: r.Headers, SentAt: r.SentAt, Successful: strconv.FormatBool(r.Successful),
		})
	}
	return out
}

// listNotifications lists all of them, which are few, without a word on pages unless it is asked for one, as TFE does.
func (s *Server) listNotifications(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	paged := r.URL.Query().Has("page[number]") || r.URL.Query().Has("page[size]")
	if !paged {
		p.Size = 100
	}
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	all, total, err := s.db.NotificationConfigurations(r.Context(), w.ID, p)
	if err != nil {
		return reply{}, err
	}
	out := make([]*tfeNotification, len(all))
	for i, c := range all {
		out[i] = notificationDocument(c)
	}
	if !paged {
		return collection(out, &jsonapi.Meta{})
	}
	return list(out, p, total)
}

// changedNotification is the configuration as the body wants it, and, of one that is to be used, what became of its verification.
func (s *Server) changedNotification(r *request, c postgres.NotificationConfiguration) (postgres.NotificationConfiguration, *postgres.DeliveryResponse, error) {
	var in tfeNotificationInput
	if err := r.decodeObject(&in); err != nil {
		return c, nil, err
	}
	c, err := c.Changed(r.PathValue("workspace"), postgres.NotificationChange{
		Name: in.Name, Destination: in.DestinationType, URL: in.URL, Token: in.Token, Enabled: in.Enabled, Triggers: in.Triggers,
	})
	if err == nil {
		err = s.receivers.Check(c.URL)
	}
	if err != nil || !c.Enabled {
		return c, nil, err
	}
	got := s.receivers.Verify(r.Context(), c)
	return c, &got, unverified(got)
}

// unverified refuses a receiver that did not take its first message.
func unverified(got postgres.DeliveryResponse) error {
	switch {
	case got.Successful:
		return nil
	case got.Code == 0:
		return invalid("field url: the receiver could not be verified: %s. It has to take a first message before it can be enabled", got.Body)
	default:
		return invalid("field url: the receiver could not be verified: it answered with status %d, not 2xx: %s", got.Code, got.Body)
	}
}

func (s *Server) createNotification(r *request) (reply, error) {
	c, verified, err := s.changedNotification(r, postgres.NotificationConfiguration{})
	if err != nil {
		return reply{}, err
	}
	if c, err = s.db.CreateNotificationConfiguration(r.Context(), c, verified); err != nil {
		return reply{}, err
	}
	return object(notificationDocument(c))
}

func (s *Server) notification(r *request) (postgres.NotificationConfiguration, error) {
	return s.db.NotificationConfiguration(r.Context(), r.PathValue("notification"))
}

func (s *Server) showNotification(r *request) (reply, error) {
	c, err := s.notification(r)
	if err != nil {
		return reply{}, err
	}
	return object(notificationDocument(c))
}

func (s *Server) updateNotification(r *request) (reply, error) {
	c, err := s.notification(r)
	if err != nil {
		return reply{}, err
	}
	c, verified, err := s.changedNotification(r, c)
	if err != nil {
		return reply{}, err
	}
	if c, err = s.db.UpdateNotificationConfiguration(r.Context(), c, verified); err != nil {
		return reply{}, err
	}
	return object(notificationDocument(c))
}

func (s *Server) deleteNotification(r *request) (reply, error) {
	return reply{}, s.db.DeleteNotificationConfiguration(r.Context(), r.PathValue("notification"))
}

func (s *Server) verifyNotification(r *request) (reply, error) {
	c, err := s.notification(r)
	if err != nil {
		return reply{}, err
	}
	got := s.receivers.Verify(r.Context(), c)
	if err := s.db.NoteVerification(r.Context(), c.ID, got); err != nil {
		return reply{}, err
	}
	if err := unverified(got); err != nil {
		return reply{}, err
	}
	return s.showNotification(r)
}
