// Package runner carries out one attempt of a task, from its inputs to its delivered result. The same program does it in
// every mode; only where it runs differs.
//
//	inputs ─▶ lease ─▶ start (the fence) ─▶ init ─▶ plan | apply ─▶ state or plan stored ─▶ log end ─▶ result ─▶ finished
//	   └ fetched and unpacked beside the connection to NATS       └ terraform prints to a file; the file is streamed to NATS
//
// Everything the attempt has on disk is in its folder (see folder.go), or linked from there, so that a recovery (see
// recover.go) can deliver it when the runner is gone. What terraform works in may be shared by a plan and its apply (work.go).
package runner

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/terraform"
)

// Assignment is everything a runner process is told: one line of JSON on its standard input, because it holds a token.
type Assignment struct {
	Claim wire.Claim `json:"claim"`

	Address string `json:"address"`           // of the API
	CACert  string `json:"ca_cert,omitempty"` // PEM, of the API and of NATS; empty means the system's authorities
	NATSURL string `json:"nats_url"`

	Dir      string           `json:"dir"`             // the attempt's folder, absolute; made if missing
	Work     string           `json:"work,omitempty"`  // where plans leave what their applies can use on this host, absolute; empty means nowhere
	CacheDir string           `json:"cache_dir"`       // engines, their versions and provider plugins; shared by the attempts of a host
	Engine   terraform.Engine `json:"engine,omitzero"` // what the worker found already; used if it is what the task wants

	RunAs *terraform.User `json:"run_as,omitempty"` // who terraform runs as; nil means the runner's user

	Releases  terraform.Releases  `json:"releases,omitzero"`  // where engines are installed from
	Providers terraform.Providers `json:"providers,omitzero"` // where provider plugins come from

	// Around is what the configuration sees of the worker's environment, KEY=VALUE; whatever else sets such a variable counts for more.
	Around []string `json:"around,omitempty"`

	// OfflineLimit bounds how long an apply goes on that reaches nobody, and how long a finished attempt tries to deliver its
	// state, log and result; default 10 minutes.
	// What is not delivered by then stays in the folder.
	OfflineLimit time.Duration `json:"offline_limit,omitempty"`
	// SetupLimit bounds the time until the start is answered; default 30 seconds, as the server's claim deadline.
	SetupLimit time.Duration `json:"setup_limit,omitempty"`
	// LogLimit is how many bytes of the log are stored; of a longer one the rest is left out but for its end. 0 stores all.
	LogLimit int64 `json:"log_limit,omitempty"`

	// Recover tells that an earlier runner of the attempt is gone and that this one has to save and deliver what it left. No
	// terraform is executed.
	Recover bool `json:"recover,omitempty"`

	// DescribeAfter is how long an apply that follows its plan at once may take before the plan's JSON form is made beside it. If
	// it takes less, the form is left to whoever started this runner (see describe.go). 0 means that nothing is left.
	DescribeAfter time.Duration `json:"describe_after,omitempty"`
	Describe      bool          `json:"describe,omitempty"` // tells that this runner is to make what another left

	// Configuration is a folder with the configuration and its digest, as files named below; what is not there is downloaded.
	Configuration string `json:"configuration,omitempty"`
	// Grace is how long terraform gets from SIGINT to SIGKILL, if whoever placed the runner knows better than the server.
	Grace time.Duration `json:"grace,omitempty"`
	// Alone tells that this process ends with its attempt: the apply that follows has a place of its own.
	Alone bool `json:"alone,omitempty"`

	Limits terraform.Limits `json:"limits,omitzero"` // of the unpacked configuration
}

// Files in Assignment.Configuration.
const (
	FileConfiguration = "configuration.tar.gz"
	FileDigest        = "configuration.sha256" // of it, in hex; given also where the archive is not, and then checked after the download
)

const (
	defaultOfflineLimit = 10 * time.Minute
	defaultSetupLimit   = 30 * time.Second
	defaultGrace        = 2 * time.Minute
)

// Validate reports the first field that makes the assignment unusable.
func (a Assignment) Validate() error {
	in := a.Claim.Inputs
	switch {
	case !messages.ValidID(a.Claim.AttemptID, "att-"):
		return fmt.Errorf("assignment: field claim.attempt_id: %q is not an att-… id", a.Claim.AttemptID)
	case in.AttemptID != a.Claim.AttemptID:
		return fmt.Errorf("assignment: field claim.inputs.attempt_id: %q is not the claim's attempt", in.AttemptID)
	case in.Phase != messages.PhasePlan && in.Phase != messages.PhaseApply:
		return fmt.Errorf("assignment: field claim.inputs.phase: unknown phase %q", in.Phase)
	case a.Claim.Token == "":
		return errors.New("assignment: field claim.token: empty")
	case a.Address == "":
		return errors.New("assignment: field address: empty")
	case !filepath.IsAbs(a.Dir) || !filepath.IsAbs(a.CacheDir):
		return errors.New("assignment: fields dir and cache_dir: must be absolute paths")
	case a.Work != "" && !filepath.IsAbs(a.Work):
		return errors.New("assignment: field work: must be an absolute path")
	}
	return nil
}

func (a Assignment) withDefaults() Assignment {
	if a.OfflineLimit == 0 {
		a.OfflineLimit = defaultOfflineLimit
	}
	if a.SetupLimit == 0 {
		a.SetupLimit = defaultSetupLimit
	}
	if a.Grace > 0 {
		a.Claim.Inputs.GraceSeconds = int(a.Grace / time.Second)
	}
	if a.Claim.Inputs.GraceSeconds == 0 {
		a.Claim.Inputs.GraceSeconds = int(defaultGrace / time.Second)
	}
	return a
}

// Exit codes of a runner. Only ExitDelivered means that the server has the attempt's result.
const (
	ExitDelivered   = 0                    // result stored, whatever it says; or nothing was assigned
	ExitRecovered   = 10                   // of a recovery: everything there was is delivered, but there was no result
	ExitContract    = 64                   // the assignment cannot be understood
	ExitUnavailable = 69                   // API or NATS did not answer, or a plan lost its lease: there is no result
	ExitInternal    = 70                   // our own failure
	ExitRefused     = messages.ExitRefused // the start was refused, or another runner of the attempt lives in the folder
)
