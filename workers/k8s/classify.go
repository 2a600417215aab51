package k8s

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Rule is a row of the classification: what a Pod shows, and what that means. All conditions that are set must hold; of a list one.
// The first rule that fits counts. Rules say why a Pod did not start or how it ended; whether its task is tried again is decided by
// the server, which knows whether the attempt was started.
type Rule struct {
	Kind  Kind
	Class string
	Again bool
	// Message is for people. {image}, {node}, {namespace}, {memory} and {detail} (in the words of the cluster) are filled in.
	Message string

	Gone       bool              // there is no Pod any more
	Began      *bool             // the runner has run, or runs
	Deleting   *bool             // the cluster was asked to delete the Pod, or is about to
	PodPhase   []corev1.PodPhase // of its status
	PodReason  []string          // of its status
	Condition  *PodCondition
	Waiting    []string      // reasons for which a container of it waits
	Terminated []string      // reasons for which its runner ended
	ExitCodes  []int32       // with which it did
	Events     []string      // reasons of events about it
	Text       string        // regular expression that something it shows fits to
	Silent     bool          // it has a node, which says nothing of it
	After      time.Duration // since Since
	Since      Clock
}

// PodCondition is a condition in a Pod's status.
type PodCondition struct {
	Type    corev1.PodConditionType
	Status  corev1.ConditionStatus
	Reasons []string // one of them; empty for any
}

// Clock says from when the time of a rule counts.
type Clock string

// The clocks. A Pod that has no node yet has no start time.
const (
	SinceCreated Clock = "created"
	SinceStarted Clock = "started" // its node took it
)

// Classifier tells what Pods show. Safe for concurrent use.
type Classifier struct{ rules []compiled }

type compiled struct {
	Rule
	text *regexp.Regexp
}

// NewClassifier returns a classifier with the rules, which are checked here and nowhere else.
func NewClassifier(rules []Rule) (*Classifier, error) {
	c := &Classifier{}
	for i, r := range rules {
		one := compiled{Rule: r}
		var err error
		if one.text, err = regexp.Compile("(?is)" + r.Text); err != nil {
			return nil, fmt.Errorf("rule %d (%s): %w", i, r.Class, err)
		}
		if err := r.validate(); err != nil {
			return nil, fmt.Errorf("rule %d (%s): %w", i, r.Class, err)
		}
		c.rules = append(c.rules, one)
	}
	return c, nil
}

func (r Rule) validate() error {
	conditions := r.Gone || r.Condition != nil || r.Text != "" || r.Silent ||
		len(r.PodReason)+len(r.Waiting)+len(r.Terminated)+len(r.ExitCodes)+len(r.Events)+len(r.PodPhase) > 0
	switch {
	case !slices.Contains([]Kind{Waiting, Ending, Failed}, r.Kind):
		return fmt.Errorf("kind %q is none", r.Kind)
	case !regexp.MustCompile(`^[a-z]+\.[a-z_]+$`).MatchString(r.Class):
		return fmt.Errorf("class %q is not group.reason", r.Class)
	case !conditions:
		return fmt.Errorf("it fits to every Pod")
	case r.After < 0 || r.After > 0 != (r.Since != ""):
		return fmt.Errorf("a time needs a clock, and a clock a time")
	case r.Again && r.Kind != Failed:
		return fmt.Errorf("only what failed is tried again")
	case !strings.HasSuffix(r.Message, ".") || strings.Contains(strings.NewReplacer("{image}", "", "{node}", "", "{namespace}", "", "{memory}", "", "{detail}", "").Replace(r.Message), "{"):
		return fmt.Errorf("message %q is no sentence, or has a place nobody fills", r.Message)
	}
	return nil
}

// Classify returns the verdict of the first rule that fits; the zero one if none does.
func (c *Classifier) Classify(e Evidence) Verdict {
	s := lookAt(e)
	for _, r := range c.rules {
		if r.fits(s) {
			return Verdict{Kind: r.Kind, Class: r.Class, Again: r.Again, Message: s.fill(r.Message, r.text)}
		}
	}
	return Verdict{}
}

func (r compiled) fits(s sight) bool {
	if r.Gone || s.pod == nil {
		return r.Gone && s.pod == nil
	}
	status := s.pod.Status
	oneOf := func(list []string, has string) bool { return len(list) == 0 || slices.Contains(list, has) }
	return (r.Began == nil || *r.Began == s.began) &&
		(r.Deleting == nil || *r.Deleting == s.deleting) &&
		(len(r.PodPhase) == 0 || slices.Contains(r.PodPhase, status.Phase)) &&
		oneOf(r.PodReason, status.Reason) &&
		(r.Condition == nil || r.Condition.holds(status.Conditions)) &&
		oneOf(r.Waiting, s.waiting) &&
		(len(r.Terminated) == 0 || s.ended != nil && slices.Contains(r.Terminated, s.ended.Reason)) &&
		(len(r.ExitCodes) == 0 || s.ended != nil && slices.Contains(r.ExitCodes, s.ended.ExitCode)) &&
		(len(r.Events) == 0 || slices.ContainsFunc(s.events, func(e corev1.Event) bool { return slices.Contains(r.Events, e.Reason) })) &&
		(r.Text == "" || slices.ContainsFunc(s.texts, r.text.MatchString)) &&
		(!r.Silent || s.silent) &&
		s.age(r.Since) >= r.After
}

func (c PodCondition) holds(all []corev1.PodCondition) bool {
	return slices.ContainsFunc(all, func(p corev1.PodCondition) bool {
		return p.Type == c.Type && p.Status == c.Status && (len(c.Reasons) == 0 || slices.Contains(c.Reasons, p.Reason))
	})
}

// sight is what the rules look at.
type sight struct {
	pod      *corev1.Pod
	events   []corev1.Event
	now      time.Time
	began    bool
	deleting bool
	silent   bool
	waiting  string                           // reason of the first container that waits for one
	image    string                           // of that container, else of the runner
	ended    *corev1.ContainerStateTerminated // of the runner
	texts    []string                         // what the cluster says, most telling first
}

func lookAt(e Evidence) sight {
	s := sight{pod: e.Pod, events: slices.Clone(e.Events), now: e.Now}
	if e.Pod == nil {
		return s
	}
	slices.SortStableFunc(s.events, func(a, b corev1.Event) int { return b.LastTimestamp.Compare(a.LastTimestamp.Time) })
	status := e.Pod.Status
	s.deleting = e.Pod.DeletionTimestamp != nil || PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}.holds(status.Conditions)
	all := slices.Concat(status.InitContainerStatuses, status.ContainerStatuses)
	s.silent = e.Pod.Spec.NodeName != "" && len(all) == 0 && !slices.ContainsFunc(e.Events, ofNode)
	for _, c := range all {
		if w := c.State.Waiting; w != nil && s.waiting == "" && w.Reason != "" && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating" {
			s.waiting, s.image = w.Reason, c.Image
			s.say(w.Message)
		}
	}
	for _, c := range status.ContainerStatuses {
		if c.Name == ContainerRunner {
			s.ended = c.State.Terminated
			s.began = c.State.Running != nil || c.State.Terminated != nil || c.LastTerminationState.Terminated != nil
		}
	}
	if s.image == "" && len(e.Pod.Spec.Containers) > 0 {
		s.image = e.Pod.Spec.Containers[0].Image
	}
	for _, c := range status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Type == corev1.PodScheduled || c.Type == corev1.DisruptionTarget {
			s.say(c.Message)
		}
	}
	s.say(status.Message)
	for _, event := range s.events {
		if event.Type == corev1.EventTypeWarning {
			s.say(event.Message)
		}
	}
	return s
}

// ofNode reports whether a node says the event: that it has the Pod says the scheduler.
func ofNode(e corev1.Event) bool {
	return e.Source.Component == "kubelet" || e.ReportingController == "kubelet"
}

func (s *sight) say(text string) {
	if text = strings.TrimSpace(text); text != "" {
		s.texts = append(s.texts, text)
	}
}

func (s sight) age(c Clock) time.Duration {
	switch {
	case c == SinceCreated:
		return s.now.Sub(s.pod.CreationTimestamp.Time)
	case c == SinceStarted && s.pod.Status.StartTime != nil:
		return s.now.Sub(s.pod.Status.StartTime.Time)
	default:
		return 0
	}
}

// maxDetail is how much of a cluster's words people get to read.
const maxDetail = 500

// fill puts what the cluster shows into a message; of its words those that the rule went by.
func (s sight) fill(message string, text *regexp.Regexp) string {
	detail := "no reason is given"
	if i := slices.IndexFunc(s.texts, text.MatchString); i >= 0 {
		detail = strings.TrimRight(s.texts[i], ". ")
	}
	if len(detail) > maxDetail {
		detail = strings.ToValidUTF8(detail[:maxDetail], "") + "…"
	}
	node, namespace, memory := "no node", "", "its limit"
	if s.pod != nil {
		namespace = s.pod.Namespace
		if s.pod.Spec.NodeName != "" {
			node = s.pod.Spec.NodeName
		}
		if len(s.pod.Spec.Containers) > 0 {
			if limit, there := s.pod.Spec.Containers[0].Resources.Limits[corev1.ResourceMemory]; there {
				memory = limit.String()
			}
		}
	}
	return strings.NewReplacer("{image}", s.image, "{node}", node, "{namespace}", namespace, "{memory}", memory, "{detail}", detail).Replace(message)
}
