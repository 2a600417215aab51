package station

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"gantry.example/workers/terraform"
)

// Engines are the settings of where a worker gets engines and provider plugins from; see docs/engines.md.
type Engines struct {
	TerraformMirror    string
	TerraformMirrorKey string
	TofuMirror         string
	TofuMirrorKey      string
	ProviderFilesystem string
	ProviderNetwork    string
}

// Flags adds the flags.
func (c *Engines) Flags(f *pflag.FlagSet) {
	f.StringVar(&c.TerraformMirror, "terraform-mirror", "", "where terraform is installed from (default: https://releases.hashicorp.com)")
	f.StringVar(&c.TerraformMirrorKey, "terraform-mirror-key", "", "file with the OpenPGP key that signs terraform there (default: HashiCorp's)")
	f.StringVar(&c.TofuMirror, "tofu-mirror", "", "where OpenTofu is installed from (default: its releases on GitHub)")
	f.StringVar(&c.TofuMirrorKey, "tofu-mirror-key", "", "file with the OpenPGP key that signs OpenTofu there (default: OpenTofu's)")
	f.StringVar(&c.ProviderFilesystem, "provider-filesystem-mirror", "", "folder of provider plugins; what is in it comes from nowhere else")
	f.StringVar(&c.ProviderNetwork, "provider-network-mirror", "", "https address of a provider mirror to use instead of the registries")
}

// Validate reports the first setting that cannot work, by its flag.
func (c *Engines) Validate() error {
	for _, m := range []struct{ flag, address string }{{"--terraform-mirror", c.TerraformMirror}, {"--tofu-mirror", c.TofuMirror}} {
		if u, err := url.Parse(m.address); m.address != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			return fmt.Errorf("%s %q: want https://host/path", m.flag, m.address)
		}
	}
	if u, err := url.Parse(c.ProviderNetwork); c.ProviderNetwork != "" && (err != nil || u.Host == "" || u.Scheme != "https") {
		return fmt.Errorf("--provider-network-mirror %q: want https://host/path, the engines refuse everything else", c.ProviderNetwork)
	}
	if _, err := c.Releases(); err != nil || c.ProviderFilesystem == "" {
		return err
	}
	dir, err := filepath.Abs(c.ProviderFilesystem)
	if err != nil {
		return fmt.Errorf("--provider-filesystem-mirror: %w", err)
	}
	c.ProviderFilesystem = dir
	if strings.ContainsAny(dir, "$\"\\\n") {
		return fmt.Errorf("--provider-filesystem-mirror %q: the engines do not take such a path; use one without $, quotes and backslashes", dir)
	}
	if _, err := os.ReadDir(dir); err != nil {
		return fmt.Errorf("--provider-filesystem-mirror: %w", err)
	}
	return nil
}

// Releases reads the keys.
func (c *Engines) Releases() (terraform.Releases, error) {
	r := terraform.Releases{TerraformMirror: c.TerraformMirror, TofuMirror: c.TofuMirror}
	for _, k := range []struct {
		flag, path string
		key        *string
	}{{"--terraform-mirror-key", c.TerraformMirrorKey, &r.TerraformKey}, {"--tofu-mirror-key", c.TofuMirrorKey, &r.TofuKey}} {
		if k.path == "" {
			continue
		}
		b, err := os.ReadFile(k.path)
		if err != nil {
			return r, fmt.Errorf("%s: %w", k.flag, err)
		}
		if !strings.Contains(string(b), "-----BEGIN PGP PUBLIC KEY BLOCK-----") {
			return r, fmt.Errorf("%s %s: is not an ASCII-armored OpenPGP public key", k.flag, k.path)
		}
		*k.key = string(b)
	}
	return r, nil
}

// Providers is where provider plugins come from.
func (c *Engines) Providers() terraform.Providers {
	return terraform.Providers{FilesystemMirror: c.ProviderFilesystem, NetworkMirror: c.ProviderNetwork}
}
