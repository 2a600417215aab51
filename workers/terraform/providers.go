package terraform

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Providers says where runs get provider plugins from. The zero value means each provider's own registry.
//
// A provider that the filesystem mirror has in any version comes from there and from nowhere else, as with the engines'
// own local mirrors. The others come from the network mirror if there is one, else from their registries.
type Providers struct {
	FilesystemMirror string `json:"filesystem_mirror,omitempty"` // folder, absolute: HOST/NAMESPACE/TYPE/…
	NetworkMirror    string `json:"network_mirror,omitempty"`    // https URL
}

// cliConfiguration is the engine's settings file. A run has no other one.
func (p Providers) cliConfiguration() ([]byte, error) {
	var b strings.Builder
	b.WriteString("disable_checkpoint = true\n")
	if p == (Providers{}) {
		return []byte(b.String()), nil
	}
	mirrored, err := mirroredProviders(p.FilesystemMirror)
	if err != nil {
		return nil, err
	}
	b.WriteString("provider_installation {\n")
	if len(mirrored) > 0 { // an empty list would mean all
		fmt.Fprintf(&b, "  filesystem_mirror {\n    path    = %s\n    include = [%s]\n  }\n", strconv.Quote(p.FilesystemMirror), quoted(mirrored))
	}
	rest := "direct {\n"
	if p.NetworkMirror != "" {
		rest = "network_mirror {\n    url     = " + strconv.Quote(strings.TrimRight(p.NetworkMirror, "/")+"/") + "\n"
	}
	fmt.Fprintf(&b, "  %s    exclude = [%s]\n  }\n}\n", rest, quoted(mirrored))
	return []byte(b.String()), nil
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strconv.Quote(s)
	}
	return strings.Join(out, ", ")
}

// mirroredProviders lists the source addresses that a filesystem mirror has, sorted. Names that are no parts of an address
// are passed over, because the engine would refuse all its settings for one of them.
func mirroredProviders(dir string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	if _, err := os.ReadDir(dir); err != nil {
		return nil, fmt.Errorf("the folder of provider plugins that the server's --provider-filesystem-mirror names cannot be read here: %w", err)
	}
	address := regexp.MustCompile(`^[0-9a-z.-]+\.[0-9a-z-]+(:[0-9]+)?/[0-9a-z_-]+/[0-9a-z_-]+$`)
	names, err := fs.Glob(os.DirFS(dir), "*/*/*")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err == nil && info.IsDir() && address.MatchString(name) {
			found = append(found, name)
		}
	}
	return found, nil
}
