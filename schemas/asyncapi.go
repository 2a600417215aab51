package schemas

import (
	"strings"

	"gantry.example/messages"
)

// said is a kind of message on NATS.
type said struct {
	name    string
	summary string
	schema  string // file with the schema of its body; "" for raw bytes
	headers object // schemas by header name
}

// channel is a subject, seen from Gantry's servers.
type channel struct {
	name, address, description string
	params                     []string
	action                     string // "receive" or "send"
	message                    said
}

// asyncapi describes the messages on NATS. Subjects come from the functions that the program uses.
func asyncapi(*source) (any, error) {
	channels, operations, all := object{}, object{}, object{}
	for _, c := range channelList() {
		params := object{}
		for _, p := range c.params {
			params[p] = object{"description": parameterMeaning(p)}
		}
		channels[c.name] = object{
			"address": c.address, "description": c.description, "parameters": params,
			"messages": object{c.message.name: object{"$ref": "#/components/messages/" + c.message.name}},
		}
		operations[c.action+strings.ToUpper(c.name[:1])+c.name[1:]] = object{
			"action": c.action, "channel": object{"$ref": "#/channels/" + c.name}, "summary": c.message.summary,
		}
		all[c.message.name] = c.message.document()
	}
	return object{
		"asyncapi": "3.0.0",
		"info": object{"title": "Gantry on NATS", "version": "1", "license": object{"name": "Apache-2.0"},
			"description": "Subjects and messages between Gantry's servers and their producers, workers and runners. \"send\" and \"receive\" are the " +
				"servers' view. A token of an organization, a pool or an attempt allows the subjects of that organization, pool or attempt and no other."},
		"defaultContentType": "application/json",
		"servers":            object{"gantry": object{"host": "127.0.0.1:4222", "protocol": "nats", "security": []object{{"$ref": "#/components/securitySchemes/token"}}}},
		"channels":           channels,
		"operations":         operations,
		"components": object{
			"messages": all,
			"securitySchemes": object{"token": object{"type": "httpApiKey", "name": "auth_token", "in": "header",
				"description": "The token of an organization, a pool or an attempt, as auth_token of the NATS connection"}},
		},
	}, nil
}

func (m said) document() object {
	out := object{"name": m.name, "summary": m.summary, "payload": object{"$ref": "./" + m.schema}}
	if m.schema == "" {
		out["contentType"], out["payload"] = kindBytes, object{"type": "string", "format": "binary"}
	}
	if m.headers != nil {
		out["headers"] = object{"type": "object", "properties": m.headers}
	}
	return out
}

func channelList() []channel {
	header := func(description string) object { return object{"type": "string", "description": description} }
	id := header("Publishing the same id again stores the message once")
	return []channel{
		{"intake", messages.IntakeSubject("{organization}"), "Stream " + messages.IntakeStream + ". Its publish acknowledgement says that the request is stored, nothing more.",
			[]string{"organization"}, "receive", said{"RunRequest", "A producer asks for a run", "run_request.json", object{
				messages.HeaderIdempotencyKey: header("Names the request: a second one under the same key creates no second run. Without it Nats-Msg-Id counts"),
				messages.HeaderReplyTo:        header("Where the answer goes: a subject below the inbox prefix of the organization"),
			}}},
		{"answers", messages.ProducerInboxPrefix("{organization}") + ".{inbox}", "The subject the producer gave in " + messages.HeaderReplyTo + ". Not stored.",
			[]string{"organization", "inbox"}, "send", said{"RunAnswer", "What became of a run request", "run_answer.json", nil}},
		{"tasks", messages.TaskSubject("{mode}", "{pool}", "{labels}", "{key}"), "Stream " + messages.TaskStream("{pool}") + ", a work queue: the newest message of a subject replaces the one before.",
			[]string{"mode", "pool", "labels", "key"}, "send", said{"Task", "A task of a run waits for a worker", "task.json", object{"Nats-Msg-Id": id}}},
		{"status", messages.StatusSubject("{pool}", "{workspace}", "{run}", "{attempt}"), "Stream " + messages.StatusStream + ".",
			[]string{"pool", "workspace", "run", "attempt"}, "receive", said{"Event", "A runner or worker reports about an attempt", "event.json", object{"Nats-Msg-Id": id}}},
		{"logs", messages.LogSubject("{pool}", "{run}", "{attempt}"), "Stream " + messages.LogStream + ".",
			[]string{"pool", "run", "attempt"}, "receive", said{"LogChunk", "What terraform printed: raw bytes", "", object{
				messages.HeaderOffset: header("Position of the first byte in the attempt's log, decimal; at the end: the log's size"),
				messages.HeaderEnd:    header("Set on the last message of an attempt's log, which has no body"),
				messages.HeaderSHA256: header("On the last message: hex digest of the whole log of the attempt"),
				"Nats-Msg-Id":         id,
			}}},
		{"commands", messages.CommandSubject("{pool}", "{attempt}"), "Not stored: repeated until the attempt ends.",
			[]string{"pool", "attempt"}, "send", said{"Command", "The server tells a running attempt to stop", "command.json", nil}},
		{"hints", messages.HintSubject("{pool}", "{worker}"), "Not stored: the server hints again after a second while the task waits.",
			[]string{"pool", "worker"}, "send", said{"Hint", "The server tells an agent that a task is worth a pull", "hint.json", nil}},
		{"loads", messages.LoadSubject("{pool}", "{worker}"), "Not stored: a lost word is made up for by the presence that the agent announces over HTTPS.",
			[]string{"pool", "worker"}, "receive", said{"Load", "An agent says how busy it is", "load.json", nil}},
		{"events", messages.EventSubject("{organization}", "{workspace}", "{run}"), "For tokens of an organization with the role read, which may do nothing else. Not stored, and after a crash of a server perhaps said twice: event.seq counts the changes of a run.",
			[]string{"organization", "workspace", "run"}, "send", said{"StatusChange", "What happened to a run, and the run after it in brief", "openapi.json#/components/schemas/StatusChange", nil}},
		{"deadLetters", messages.DeadLetterSubject("{subject}"), "Stream " + messages.DeadLetterStream + ": what could not be used, under the subject it had.",
			[]string{"subject"}, "send", said{"DeadLetter", "A message that nobody could use", "dead_letter.json", object{"Nats-Msg-Id": id}}},
	}
}

func parameterMeaning(name string) string {
	switch name {
	case "mode":
		return "local, agent or k8s"
	case "pool":
		return "Id of the pool, or \"" + messages.LocalPool + "\""
	case "labels":
		return "Token of the label set the task requires, \"" + messages.AnyLabelSet + "\" for none"
	case "key":
		return "Workspace id of an exclusive task, run id of a plan-only one"
	case "worker":
		return "Name of the agent"
	case "inbox":
		return "Any tokens the producer chooses"
	case "subject":
		return "The subject of the message, several tokens"
	default:
		return "Id of the " + name
	}
}
