package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes.
const (
	ExitOK          = 0
	ExitFailure     = 1 // also wrong usage
	ExitChanges     = 2 // only with --detailed-exitcode
	ExitCanceled    = 3 // or discarded
	ExitUnreachable = 4
	ExitWaiting     = 5 // for approval
)

// Env is all a command touches of the world around it.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Which of the three are terminals. Questions need Stdin and Stdout, colors and progress the one they are written to.
	StdinTerminal, StdoutTerminal, StderrTerminal bool
	// Getenv reads the environment.
	Getenv func(string) string
	// Signals delivers requests to stop (SIGINT, SIGTERM); nil means there are none. The first ends the context of a command,
	// except where the command says otherwise.
	Signals <-chan os.Signal
	Version string
	// Admin are further commands of gantry admin.
	Admin []*cobra.Command
}

// New returns the gantry command with the extra commands beside its own. Its errors are for Main to show.
func New(env Env, extra ...*cobra.Command) *cobra.Command { return newApp(env).root(extra) }

// Main carries out one command line (without the program's name), shows its error and returns the exit code. Extra commands
// get the context of Main and may return an Exit.
func Main(ctx context.Context, env Env, args []string, extra ...*cobra.Command) int {
	a := newApp(env)
	ctx, cancel := context.WithCancelCause(ctx)
	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		a.interrupts.relay(ctx, env.Signals, func() { cancel(errInterrupted) })
	}()
	root := a.root(extra)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	interrupted := errors.Is(context.Cause(ctx), errInterrupted)
	cancel(nil)
	<-relayed
	close(a.input.done)
	return a.report(err, interrupted)
}

// Exit is an error with an exit code of its own. An empty Message shows nothing.
type Exit struct {
	Code    int
	Message string
}

func (e *Exit) Error() string { return e.Message }

var (
	errInterrupted = errors.New("interrupted")
	errDetached    = errors.New("detached")
)

// app is one invocation of the program.
type app struct {
	env        Env
	interrupts *interrupts
	input      *input
	flags      connectionFlags
	format     string      // of -o
	connection *connection // once there is one, for messages
	contact    contact
}

func newApp(env Env) *app {
	return &app{env: env, interrupts: &interrupts{}, input: newInput(env.Stdin)}
}

// The groups that help shows commands in.
const (
	groupWork    = "work"
	groupObjects = "objects"
	groupAccess  = "access"
	groupServer  = "server"
)

func (a *app) root(extra []*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:   "gantry",
		Short: "Runs Terraform for teams",
		Long: "Gantry queues Terraform plans and applies and carries them out where the workspace says.\n\n" +
			"The server of this machine is found by itself. For another one use gantry login ADDRESS, or set GANTRY_ADDRESS and\n" +
			"GANTRY_TOKEN (or GANTRY_TOKEN_FILE), and GANTRY_CA_FILE if its certificate is signed by its own authority.\n\n" +
			"Exit codes: 0 ok, 1 failure or wrong usage, 2 changes present (with --detailed-exitcode), 3 canceled or discarded,\n" +
			"4 server unreachable, 5 waiting for approval.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          groupOnly,
	}
	root.SetIn(a.env.Stdin)
	root.SetOut(a.env.Stdout)
	root.SetErr(a.env.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%s", flagProblem(err)) })
	root.AddGroup(&cobra.Group{ID: groupWork, Title: "Plan and apply:"}, &cobra.Group{ID: groupObjects, Title: "Look after:"},
		&cobra.Group{ID: groupAccess, Title: "Access:"}, &cobra.Group{ID: groupServer, Title: "Server and program:"})
	in := func(id string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = id
		}
		root.AddCommand(commands...)
	}
	in(groupWork, a.runCommand(), a.runsCommand())
	in(groupObjects, a.workspacesCommand(), a.varsCommand(), a.varsetsCommand(), a.stateCommand(), a.organizationsCommand(), a.poolsCommand(), a.agentsCommand(), a.k8sCommand())
	in(groupAccess, a.trustCommand(), a.loginCommand(), a.logoutCommand(), a.tokensCommand(), a.usersCommand(), a.teamsCommand())
	in(groupServer, a.statusCommand(), a.adminCommand(), a.versionCommand())
	in(groupServer, extra...)
	root.SetHelpCommandGroupID(groupServer)
	root.SetCompletionCommandGroupID(groupServer)
	return root
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: groupOnly}
	g.AddCommand(commands...)
	return g
}

func groupOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %q; did you mean %q? See %s --help", args[0], strings.Join(near, " or "), cmd.CommandPath())
	}
	return usage(cmd, "unknown command %q", args[0])
}

// usage is an error in how the command was called.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return fmt.Errorf("%s. See %s --help", fmt.Sprintf(format, args...), cmd.CommandPath())
}

// flagProblem says in the words of the other errors what is wrong with a flag.
func flagProblem(err error) string {
	var unknown *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	var wrong *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return fmt.Sprintf("unknown flag -%s", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return fmt.Sprintf("unknown flag --%s", unknown.GetSpecifiedName())
	case errors.As(err, &empty):
		return fmt.Sprintf("--%s needs a value", empty.GetFlag().Name)
	case errors.As(err, &wrong):
		kinds := map[string]string{"bool": "true or false", "int": "a number", "duration": "a duration such as 90s or 2h"}
		if kind, ok := kinds[wrong.GetFlag().Value.Type()]; ok {
			return fmt.Sprintf("--%s %q is not %s", wrong.GetFlag().Name, wrong.GetValue(), kind)
		}
	}
	return err.Error()
}

// exactly checks the number of arguments and names them when it is wrong.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage(cmd, "%s is missing", names[len(args)])
		case len(args) > len(names):
			return usage(cmd, "unexpected argument %q", args[len(names)])
		default:
			return nil
		}
	}
}

// interrupts decides who handles the requests to stop.
type interrupts struct {
	mu      sync.Mutex
	handler func()
}

// take makes handle the handler until the returned function is called. handle must not block.
func (i *interrupts) take(handle func()) (release func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.handler = handle
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.handler = nil
	}
}

// oneInterrupt is how soon after a signal another one is the same request: timeout(1), for one, sends its signal to the
// command and then to its process group. No person presses Ctrl-C twice as fast.
const oneInterrupt = 200 * time.Millisecond

// relay calls the handler, or fallback where there is none, for every request to stop until ctx ends.
func (i *interrupts) relay(ctx context.Context, signals <-chan os.Signal, fallback func()) {
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
		if time.Since(last) < oneInterrupt {
			continue
		}
		last = time.Now()
		i.mu.Lock()
		if i.handler != nil {
			i.handler()
		} else {
			fallback()
		}
		i.mu.Unlock()
	}
}
