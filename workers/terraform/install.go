package terraform

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"

	"gantry.example/messages"
)

// install downloads the wanted terraform with its checksum and signature verified. The finished folder is renamed into
// place, so that a concurrent or killed installation leaves nothing half done. missing is completed and returned on failure.
func install(ctx context.Context, cfg LocateConfig, missing *MissingError) (Engine, error) {
	if cfg.Engine != messages.EngineTerraform {
		missing.Reason = fmt.Sprintf("%s is not installed automatically: install it on the machine that runs this workspace", cfg.Engine)
		return Engine{}, missing
	}
	parent := filepath.Join(cfg.CacheDir, "engines")
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return Engine{}, fmt.Errorf("engine cache folder: %w", err)
	}
	tmp, err := os.MkdirTemp(parent, ".install-*")
	if err != nil {
		return Engine{}, fmt.Errorf("engine cache folder: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := download(ctx, cfg, tmp); err != nil {
		missing.Reason = fmt.Sprintf("installing it failed: %v; install it by hand or allow access to the releases", err)
		return Engine{}, missing
	}
	v, err := askVersion(ctx, filepath.Join(tmp, string(cfg.Engine)))
	if err != nil {
		missing.Reason = fmt.Sprintf("the installed program does not run: %v", err)
		return Engine{}, missing
	}
	dir := filepath.Join(parent, string(cfg.Engine)+"-"+v)
	path := filepath.Join(dir, string(cfg.Engine))
	if err := os.Rename(tmp, dir); err != nil {
		if _, statErr := os.Stat(path); statErr != nil { // otherwise another process was faster, which is as good
			return Engine{}, fmt.Errorf("engine cache folder: %w", err)
		}
	}
	return Engine{Path: path, Version: v, Engine: cfg.Engine}, nil
}

func download(ctx context.Context, cfg LocateConfig, dir string) error {
	if v, err := version.NewVersion(cfg.Version); err == nil {
		exact := &releases.ExactVersion{Product: product.Terraform, Version: v, InstallDir: dir, ApiBaseURL: cfg.Mirror}
		_, err = exact.Install(ctx)
		return err
	}
	latest := &releases.LatestVersion{Product: product.Terraform, InstallDir: dir, ApiBaseURL: cfg.Mirror}
	if cfg.Version != "" && cfg.Version != "latest" {
		constraint, err := version.NewConstraint(cfg.Version)
		if err != nil {
			return err
		}
		latest.Constraints = constraint
	}
	_, err := latest.Install(ctx)
	return err
}
