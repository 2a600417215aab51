package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

const (
	answerWithin = 10 * time.Second
	keptBody     = 1024 // bytes of an answer
	keptHeader   = 200  // of each value of the headers that are kept
	maxURL       = 2000
)

// Sender sends to receivers: to public addresses, and to others in networks that the operator allows. Safe for concurrent use.
type Sender struct {
	publicURL string // what links begin with
	networks  Networks
	client    *http.Client
}

// NewSender returns a sender.
func NewSender(publicURL string, networks Networks) *Sender {
	dialer := &net.Dialer{Timeout: answerWithin, ControlContext: networks.control}
	return &Sender{publicURL: publicURL, networks: networks, client: &http.Client{
		Timeout: answerWithin,
		// Neither a proxy nor a redirect: what is behind them is not ours to check.
		Transport:     &http.Transport{DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: answerWithin, IdleConnTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Check refuses an address that nothing could be sent to. Where a name leads is looked at when something is sent. Errors: invalid.
func (s *Sender) Check(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || len(address) > maxURL {
		return &postgres.Error{Code: messages.CodeInvalid, Message: "field url: want the http:// or https:// address of the receiver, without a user name in it"}
	}
	if err := s.networks.checkHost(u.Hostname()); err != nil {
		return &postgres.Error{Code: messages.CodeInvalid, Message: "field url: " + err.Error()}
	}
	return nil
}

// Send sends a notification and says what became of it.
func (s *Sender) Send(ctx context.Context, n postgres.Notification) postgres.DeliveryResponse {
	body, err := s.body(n)
	return s.post(ctx, n.Configuration, strconv.FormatInt(n.ID, 10), body, err)
}

// Verify sends a configuration's receiver what tells it that it will be used.
func (s *Sender) Verify(ctx context.Context, c postgres.NotificationConfiguration) postgres.DeliveryResponse {
	body, err := verification(c)
	return s.post(ctx, c, "", body, err)
}

// post sends a body. delivery tells it from others, so that a receiver notices what it has already.
func (s *Sender) post(ctx context.Context, c postgres.NotificationConfiguration, delivery string, body []byte, failed error) postgres.DeliveryResponse {
	got := postgres.DeliveryResponse{URL: c.URL, SentAt: time.Now().UTC().Truncate(time.Millisecond)}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if failed != nil || err != nil {
		got.Body = "not sent: the request could not be made"
		return got
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Gantry")
	if delivery != "" {
		req.Header.Set("Gantry-Delivery", delivery)
	}
	if c.Token != "" && c.Destination == postgres.DestinationGeneric {
		req.Header.Set("X-TFE-Notification-Signature", signature(body, c.Token))
	}
	res, err := s.client.Do(req)
	if err != nil {
		got.Body = "no answer: " + reason(err)
		return got
	}
	defer func() { _ = res.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(res.Body, keptBody)) // what came of it until then
	got.Code, got.Body, got.Headers = res.StatusCode, strings.ToValidUTF8(string(text), "\ufffd"), headers(res.Header)
	got.Successful = res.StatusCode/100 == 2
	return got
}

// signature is the HMAC-SHA512 of the body in hexadecimal, as TFE signs.
func signature(body []byte, token string) string {
	mac := hmac.New(sha512.New, []byte(token))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// headers are those that help people to find out why a receiver does not take what it is sent.
func headers(all http.Header) map[string][]string {
	out := map[string][]string{}
	for _, name := range []string{"Content-Type", "Date", "Location", "Retry-After", "Server"} {
		if value := all.Get(name); value != "" {
			out[name] = []string{strings.ToValidUTF8(value[:min(len(value), keptHeader)], "\ufffd")}
		}
	}
	return out
}

// reason is why there was no answer, without the address, which may be a secret.
func reason(err error) string {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("none within %s", answerWithin)
	}
	return err.Error()
}
