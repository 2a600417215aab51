package browser_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"gantry.example/messages"
	"gantry.example/services/run"
)

const planLog = "\x1b[1mInitializing the backend...\x1b[0m\r\n" +
	"Initializing provider plugins...\n- Finding hashicorp/random versions matching \"~> 3.6\"...\n- Installed hashicorp/random v3.6.3\n\n" +
	"Terraform used the selected providers to generate the following execution plan.\n" +
	"Resource actions are indicated with the following symbols:\n  \x1b[32m+\x1b[0m create\n  \x1b[33m~\x1b[0m update in-place\n  \x1b[31m-\x1b[0m destroy\n\n" +
	"Terraform will perform the following actions:\n\n\x1b[1m  # random_pet.name\x1b[0m will be created\n" +
	"  \x1b[32m+\x1b[0m resource \"random_pet\" \"name\" {\n      \x1b[32m+\x1b[0m id        = (known after apply)\n      \x1b[32m+\x1b[0m length    = 2\n    }\n\n" +
	"\x1b[1mPlan:\x1b[0m 2 to add, 1 to change, 0 to destroy.\n"

// One run from its creation to the end, in one document: whatever the test waits for arrives without a reload.
func TestRunPageIsLive(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.newRun("Add a second availability zone", run.Options{})
	page := "/app/default/network/runs/" + r.ID
	s.do(chromedp.Navigate(s.server.URL + page))
	s.shows("h1", "Log in")
	s.picture("login")
	s.logIn(page)
	s.shows("h1", "Add a second availability zone")
	s.shows("#summary", "No worker of pool local is connected")

	plan := s.begin(r.Plan)
	s.give(r.ID, run.Progress{AttemptID: plan, Stage: messages.StagePlan})
	s.shows(".headline .badge", "Planning")
	s.until(`document.title.startsWith("Planning · Add a second")`)
	s.print(plan, planLog[:400])
	s.shows("#plan-log", "Initializing the backend")
	s.shows("#plan-state", "Live")
	s.picture("planning")
	s.do(chromedp.SendKeys(chromedp.CSS("#plan-bar input"), "Plan: 2 to"))
	s.shows("#plan-bar .found", "not found")
	s.print(plan, planLog[400:])
	s.shows("#plan-bar .found", "1 of 1") // which came later
	s.shows("#plan-log", "Plan: 2 to add")
	s.until(`[...document.querySelectorAll("#plan-log .green")].some((e) => e.textContent === "+")`)
	s.endLog(plan)
	s.give(r.ID, run.Finish{AttemptID: plan, Outcome: run.Succeeded, HasChanges: true, Changes: &run.Changes{Add: 2, Change: 1}})
	s.shows(".headline .badge", "Needs approval")
	s.shows("#plan-head", "+2 to add")
	s.until(`document.querySelector("#plan-state").innerText === ""`) // ETX ended the log
	s.picture("planned")

	r = s.give(r.ID, run.Confirm{})
	apply := s.begin(r.Apply)
	s.print(apply, "random_pet.name: Creating...\n")
	s.shows("#apply-log", "random_pet.name: Creating...")
	s.print(apply, strings.Repeat("random_pet.name: Still creating...\n", 100)+"\n\x1b[1m\x1b[32mApply complete!\x1b[0m Resources: 2 added, 1 changed, 0 destroyed.\n")
	s.endLog(apply)
	s.shows("#apply-log", "Apply complete!")
	s.until(`(() => { const e = document.querySelector("#apply-log"); return e.scrollTop > 0 && e.scrollHeight - e.scrollTop - e.clientHeight < 2 })()`)
	s.give(r.ID, run.Finish{AttemptID: apply, Outcome: run.Succeeded, Changes: &run.Changes{Add: 2, Change: 1}})
	s.shows(".headline .badge", "Applied")
	s.shows("#details", "Approved by")
	s.until(`[...document.querySelectorAll("#timeline li")].every((e, i) => Number(e.dataset.seq) === i + 1)`)
	s.until(`window.same === "this document"`)
	s.picture("applied")

	s.do(chromedp.Navigate(s.server.URL + "/app/default/network"))
	s.shows("table", "Add a second availability zone")
	s.picture("runs")
}

// What a log or a user says is text, whatever it looks like.
func TestHostileTextStaysText(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const attack = `<img src=x onerror="window.hit = 1"><script>window.hit = 1</script>`
	r := s.newRun(attack, run.Options{})
	s.logIn("/app/default/network/runs/" + r.ID)
	plan := s.begin(r.Plan)
	s.print(plan, attack+"\x1b[31m"+attack+"\x1b[0m\x1b]0;title\x07\x1b[2Jafter\n")
	s.shows("#plan-log", attack+attack+"after")
	s.shows("h1", attack)
	s.until(`window.hit === undefined && document.querySelectorAll("main img, main script").length === 0`)
}

func TestAFailedRunSaysWhy(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.newRun("Rename the bucket", run.Options{AutoApply: true})
	s.logIn("/app/default/network/runs/" + r.ID)
	plan := s.begin(r.Plan)
	s.print(plan, "\x1b[31m╷\x1b[0m\n\x1b[31m│\x1b[0m \x1b[1m\x1b[31mError: \x1b[0m\x1b[1mUnsupported argument\x1b[0m\n\x1b[31m│\x1b[0m\n\x1b[31m│\x1b[0m   on main.tf line 7, in resource \"random_pet\" \"name\":\n\x1b[31m│\x1b[0m    7:   size = 2\n\x1b[31m╵\x1b[0m\n")
	s.endLog(plan)
	s.give(r.ID, run.Finish{AttemptID: plan, Outcome: run.Failed, Code: messages.CodeRunTerraformFailed, Message: "terraform plan ended with code 1: Unsupported argument on main.tf line 7"})
	s.shows(".headline .badge", "Errored")
	s.shows("#failure", "Unsupported argument on main.tf line 7")
	s.shows("#failure", string(messages.CodeRunTerraformFailed))
	s.shows("#plan-log", "size = 2")
	s.picture("errored")
}

func TestAnUnknownOutcomeIsSeenToLockTheWorkspace(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.newRun("Resize the database", run.Options{AutoApply: true})
	next := s.newRun("Next in the line", run.Options{})
	s.logIn("/app/default/network/runs/" + next.ID)
	s.shows("#summary", "Behind run ")
	plan := s.begin(r.Plan)
	r = s.give(r.ID, run.Finish{AttemptID: plan, Outcome: run.Succeeded, HasChanges: true, Changes: &run.Changes{Change: 1}})
	apply := s.begin(r.Apply)
	s.print(apply, "aws_db_instance.main: Modifying...\n")
	s.give(r.ID, run.Exit{AttemptID: apply, Detail: "its process was killed"})
	s.shows("#summary", "nobody knows what the apply of run "+r.ID+" changed")
	s.picture("pending")
	s.click("#situation a")
	s.shows(".headline .badge", "Outcome unknown")
	s.shows("#locked", "Workspace network is locked")
	s.shows("#apply-log", "Modifying...")
	s.picture("unknown")
}
