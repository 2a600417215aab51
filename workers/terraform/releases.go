package terraform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hc-install/httpclient"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"
	"github.com/opentofu/tofudl"

	"gantry.example/messages"
)

// Releases says where engines are installed from. The zero value means their makers' own sites, and their makers' signatures
// are what counts on a mirror too, unless another key is given.
type Releases struct {
	TerraformMirror string `json:"terraform_mirror,omitempty"` // base URL of a copy of releases.hashicorp.com
	TerraformKey    string `json:"terraform_key,omitempty"`    // OpenPGP key that signs there, ASCII-armored
	TofuMirror      string `json:"tofu_mirror,omitempty"`      // base URL: below it api.json and v<version>/<file>
	TofuKey         string `json:"tofu_key,omitempty"`         // OpenPGP key that signs there, ASCII-armored
}

const (
	hashicorpReleases = "https://releases.hashicorp.com"
	opentofuReleases  = "https://github.com/opentofu/opentofu/releases/download"
)

// source is a place that has releases of one engine.
type source interface {
	// address is the place, for people.
	address() string
	// list returns the released versions, in any order.
	list(ctx context.Context) ([]*version.Version, error)
	// fetch puts the engine of version v into the folder dir. What is not signed by the right key is not executed.
	fetch(ctx context.Context, v *version.Version, dir string) error
}

func (r Releases) of(kind messages.Engine) source {
	if kind == messages.EngineOpenTofu {
		return opentofu{mirror: strings.TrimRight(r.TofuMirror, "/"), key: r.TofuKey}
	}
	return hashicorp{mirror: strings.TrimRight(r.TerraformMirror, "/"), key: r.TerraformKey}
}

// newestRelease returns the newest version that satisfies the constraints; nil constraints mean any release.
func newestRelease(ctx context.Context, from source, constraints version.Constraints) (*version.Version, error) {
	if constraints == nil {
		var err error
		if constraints, err = version.NewConstraint(anyRelease); err != nil {
			return nil, err
		}
	}
	all, err := from.list(ctx)
	if err != nil {
		return nil, err
	}
	var newest *version.Version
	for _, v := range all {
		if constraints.Check(v) && (newest == nil || v.GreaterThan(newest)) {
			newest = v
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("none of its %d versions satisfies %s", len(all), constraints)
	}
	return newest, nil
}

// hashicorp has terraform.
type hashicorp struct{ mirror, key string }

func (h hashicorp) address() string {
	if h.mirror != "" {
		return h.mirror
	}
	return hashicorpReleases
}

func (h hashicorp) list(ctx context.Context) ([]*version.Version, error) {
	list := releases.Versions{Product: product.Terraform, ApiBaseURL: h.mirror, ListTimeout: installLimit}
	found, err := list.List(ctx)
	if err != nil {
		return nil, err
	}
	var all []*version.Version
	for _, f := range found {
		if exact, ok := f.(*releases.ExactVersion); ok {
			all = append(all, exact.Version)
		}
	}
	return all, nil
}

func (h hashicorp) fetch(ctx context.Context, v *version.Version, dir string) error {
	exact := releases.ExactVersion{
		Product: product.Terraform, Version: v, InstallDir: dir, Timeout: installLimit, ApiBaseURL: h.mirror, ArmoredPublicKey: h.key,
	}
	var steps bytes.Buffer
	exact.SetLogger(log.New(&steps, "", 0))
	_, err := exact.Install(ctx)
	// The library unpacks nothing that has a wrong checksum, but then it returns another error, or none; its log has the right one.
	for line := range strings.Lines(steps.String()) {
		if strings.HasPrefix(line, "checksum does not match") {
			return errors.New(strings.TrimSpace(line))
		}
	}
	return err
}

// opentofu has tofu.
type opentofu struct{ mirror, key string }

func (o opentofu) address() string {
	if o.mirror != "" {
		return o.mirror
	}
	return opentofuReleases
}

func (o opentofu) downloader() (tofudl.Downloader, error) {
	// The library's own client changes the default transport of the whole process.
	options := []tofudl.ConfigOpt{tofudl.ConfigHTTPClient(httpclient.New())}
	if o.mirror != "" {
		options = append(options, tofudl.ConfigAPIURL(o.mirror+"/api.json"), tofudl.ConfigDownloadMirrorURLTemplate(o.mirror+"/v{{ .Version }}/{{ .Artifact }}"))
	}
	if o.key != "" {
		options = append(options, tofudl.ConfigGPGKey(o.key))
	}
	return tofudl.New(options...)
}

func (o opentofu) list(ctx context.Context) (all []*version.Version, err error) {
	d, err := o.downloader()
	if err != nil {
		return nil, err
	}
	defer func() { // the library compares versions that it has not validated
		if p := recover(); p != nil {
			all, err = nil, fmt.Errorf("api.json: %v", p)
		}
	}()
	found, err := d.ListVersions(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		v, err := version.NewVersion(string(f.ID))
		if err != nil {
			return nil, fmt.Errorf("api.json: %w", err)
		}
		all = append(all, v)
	}
	return all, nil
}

func (o opentofu) fetch(ctx context.Context, v *version.Version, dir string) error {
	d, err := o.downloader()
	if err != nil {
		return err
	}
	id := tofudl.Version(v.String())
	if err := id.Validate(); err != nil {
		return err
	}
	// The names are known, so that a mirror of the files alone will do.
	prefix := "tofu_" + v.String() + "_"
	files := []string{prefix + "SHA256SUMS", prefix + "SHA256SUMS.gpgsig", prefix + runtime.GOOS + "_" + runtime.GOARCH + ".tar.gz"}
	program, err := d.DownloadVersion(ctx, tofudl.VersionWithArtifacts{ID: id, Files: files}, tofudl.PlatformAuto, tofudl.ArchitectureAuto)
	if err != nil {
		return errors.Join(err, ctx.Err())
	}
	return os.WriteFile(filepath.Join(dir, string(messages.EngineOpenTofu)), program, 0o700)
}
