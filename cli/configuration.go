package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	slug "github.com/hashicorp/go-slug"

	"gantry.example/client"
)

// configurationDir checks that dir is a folder and returns its real path.
func configurationDir(dir string) (string, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("folder %s does not exist: name the one with the configuration, for example gantry run ./network", dir)
	case err != nil:
		return "", fmt.Errorf("folder %s cannot be read: %w", dir, err)
	case !info.IsDir():
		return "", fmt.Errorf("%s is not a folder: name the one with the configuration", dir)
	}
	return filepath.EvalSymlinks(dir)
}

// checkConfiguration refuses a folder without Terraform code, which would be a run that can only fail.
func checkConfiguration(dir, workdir string, n workspaceName) error {
	root := filepath.Join(dir, filepath.FromSlash(workdir))
	entries, err := os.ReadDir(root)
	if err != nil && workdir != "" {
		return fmt.Errorf("folder %s has no %s, which is where workspace %s runs terraform: name the folder above it", dir, workdir, n)
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		for _, ending := range []string{".tf", ".tf.json", ".tofu", ".tofu.json"} {
			if !e.IsDir() && strings.HasSuffix(e.Name(), ending) {
				return nil
			}
		}
	}
	return fmt.Errorf("folder %s has no .tf files: name the one with the configuration, for example gantry run ./network", root)
}

// configuration is what is uploaded for a run.
type configuration struct {
	dir         string
	workspaceID string
	planOnly    bool
}

// upload packs the folder as Terraform does (.terraformignore) and sends it.
func upload(ctx context.Context, c *client.Client, what configuration) (client.ConfigurationVersion, error) {
	none := client.ConfigurationVersion{}
	archive, err := os.CreateTemp("", "gantry-configuration-*.tar.gz")
	if err != nil {
		return none, err
	}
	defer os.Remove(archive.Name())
	defer archive.Close()
	if err := what.pack(archive); err != nil {
		return none, fmt.Errorf("packing folder %s: %w", what.dir, err)
	}
	info, err := archive.Stat()
	if err != nil {
		return none, err
	}
	cv, err := c.CreateConfigurationVersion(ctx, what.workspaceID, what.planOnly)
	if err != nil {
		return none, err
	}
	if err := c.Upload(ctx, cv.UploadURL, archive, info.Size()); err != nil {
		return none, fmt.Errorf("uploading folder %s: %w", what.dir, err)
	}
	return cv, nil
}

func (c configuration) pack(to io.Writer) error {
	packer, err := slug.NewPacker(slug.ApplyTerraformIgnore(), slug.DereferenceSymlinks())
	if err != nil {
		return err
	}
	_, err = packer.Pack(c.dir, to)
	return err
}
