// Package images_test builds what the Dockerfiles build, without Docker: BuildKit's parser reads them, and the stage that compiles is
// carried out in a folder, step by step. What the final image is made of must be there then.
package images_test

import (
	"debug/elf"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	root    = "../.."
	version = "v1.2.3-images"
)

// stage and step are what the program in dockerfile/ prints.
type stage struct {
	Name, Base string
	Steps      []step
}

type step struct {
	Do, From string
	Args     []string
}

// last is the last step of its kind.
func (s stage) last(do string) step {
	for _, one := range slices.Backward(s.Steps) {
		if one.Do == do {
			return one
		}
	}
	return step{}
}

// TestDockerfiles: each builds programs of its version from what is copied into its stage and nothing else, and its image runs one of
// them as somebody with a number who is not root, which is what a Pod with runAsNonRoot asks of an image.
func TestDockerfiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root, "deploy", "docker", "*Dockerfile"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got %v, %v, want Dockerfiles", files, err)
	}
	parser := filepath.Join(t.TempDir(), "dockerfile")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", parser, ".")
	cmd.Dir, cmd.Env = "dockerfile", append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the parser: %v\n%s", err, out)
	}
	for _, file := range files { // one after the other: each compiles with all processors
		t.Run(filepath.Base(file), func(t *testing.T) {
			stages := parse(t, parser, file)
			if len(stages) != 2 {
				t.Fatalf("got %d stages, want one that compiles and one that is the image", len(stages))
			}
			b := builder{dir: t.TempDir(), env: []string{"VERSION=" + version}}
			b.build(t, stages[0])
			b.image(t, stages[0].Name, stages[1])
		})
	}
}

func parse(t *testing.T, parser, file string) (stages []stage) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), parser, file).Output()
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns no other
		t.Fatalf("%s", exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &stages); err != nil {
		t.Fatal(err)
	}
	return stages
}

// builder carries a stage out below a folder.
type builder struct {
	dir  string   // the stage's root
	work string   // the stage's working directory
	env  []string // its arguments
}

// build carries out the stage that compiles. Its base has go, make and git, as this machine has.
func (b *builder) build(t *testing.T, s stage) {
	t.Helper()
	if !strings.HasPrefix(s.Base, "golang:") {
		t.Errorf("got the base %s, want golang: this machine stands for it", s.Base)
	}
	for _, step := range s.Steps {
		switch step.Do {
		case "WORKDIR":
			b.work = step.Args[0]
			if err := os.MkdirAll(b.dir+b.work, 0o755); err != nil {
				t.Fatal(err)
			}
		case "COPY":
			b.copy(t, step.Args)
		case "RUN":
			// /out is in the stage's root, which is no root here.
			cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(strings.Join(step.Args, " "), " /out/", " "+b.dir+"/out/"))
			cmd.Dir = b.dir + b.work
			cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GOWORK=") }), b.env...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("RUN %s: %v\n%s", step.Args, err, out)
			}
		case "ARG": // given
		default:
			t.Fatalf("%s: this test does not know how to do that", step.Do)
		}
	}
}

// copy copies out of the repository as a build does, so without what .dockerignore names.
func (b *builder) copy(t *testing.T, args []string) {
	t.Helper()
	ignored := strings.Fields(read(t, filepath.Join(root, ".dockerignore")))
	to := filepath.Join(b.dir, b.work, args[len(args)-1])
	for _, source := range args[:len(args)-1] {
		from := filepath.Join(root, source)
		err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			inside, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if slices.Contains(ignored, inside) {
				if d.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
			if d.IsDir() || !d.Type().IsRegular() {
				return nil
			}
			relative, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			target := filepath.Join(to, relative)
			if relative == "." { // a file by its name
				target = filepath.Join(to, filepath.Base(path))
			}
			return copyFile(path, target)
		})
		if err != nil {
			t.Fatalf("COPY %s: %v", args, err)
		}
	}
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // as in an image
		return err
	}
	return os.WriteFile(to, b, info.Mode().Perm())
}

// image looks at the stage that is the image: all that it copies is there, and what it runs is one of the programs.
func (b *builder) image(t *testing.T, built string, s stage) {
	t.Helper()
	copied := map[string]string{} // program → where it was built
	for _, step := range s.Steps {
		if step.Do != "COPY" {
			continue
		}
		for _, source := range step.Args[:len(step.Args)-1] {
			switch {
			case step.From == "":
				read(t, filepath.Join(root, source))
			case step.From != built:
				t.Errorf("COPY --from=%s: there is no such stage", step.From)
			case strings.HasPrefix(source, "/etc/ssl/"): // of the base
			default:
				copied[filepath.Base(source)] = b.dir + source
			}
		}
	}
	for name, path := range copied {
		static(t, name, path)
	}
	if user := s.last("USER").Args; len(user) != 1 || !regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`).MatchString(user[0]) {
		t.Errorf("got USER %q, want a number that is not root's", user)
	}
	entry := s.last("ENTRYPOINT").Args
	if len(entry) != 1 || copied[entry[0]] == "" {
		t.Fatalf("got ENTRYPOINT %q, want one that was copied, of %v", entry, copied)
	}
	b.everythingCopied(t, copied)
	args := map[string][]string{"gantry": {"version"}, "gantry-agent": {"--version"}, "gantry-dispatcher": {"--version"}, "gantry-runner": {"--help"}}[entry[0]]
	out, err := exec.CommandContext(t.Context(), copied[entry[0]], args...).CombinedOutput()
	if err != nil || args[0] != "--help" && !strings.Contains(string(out), version) {
		t.Errorf("%s %s: got %v and %s, want the version %s", entry[0], args, err, out, version)
	}
}

// static: an image without a libc has to be able to execute it.
func static(t *testing.T, name, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Errorf("%s is copied and was not built: %v", name, err)
		return
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s is linked dynamically", name)
		}
	}
}

// everythingCopied: nothing is compiled for nobody.
func (b *builder) everythingCopied(t *testing.T, copied map[string]string) {
	t.Helper()
	for _, dir := range []string{"/out", "/src/bin"} {
		programs, _ := os.ReadDir(b.dir + dir)
		for _, p := range programs {
			if copied[p.Name()] == "" {
				t.Errorf("%s is built and not copied", p.Name())
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
