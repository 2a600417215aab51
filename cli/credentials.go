package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// credentials is the file of what gantry login stored.
type credentials struct {
	Current string                      `json:"current,omitempty"` // address of the last login
	Servers map[string]serverCredential `json:"servers"`           // by address
}

type serverCredential struct {
	Token  string `json:"token"`
	CAFile string `json:"ca_file,omitempty"` // absolute
}

func (a *app) credentialsPath() (string, error) {
	return a.configPath("XDG_CONFIG_HOME", ".config", "gantry", "credentials.json")
}

// configPath is a file below the folder that the variable names, or below a folder in the user's home.
func (a *app) configPath(variable, fallback string, elements ...string) (string, error) {
	base := a.env.Getenv(variable)
	if base == "" {
		home := a.env.Getenv("HOME")
		if home == "" {
			var err error
			if home, err = os.UserHomeDir(); err != nil {
				return "", fmt.Errorf("no home folder: %w; set HOME", err)
			}
		}
		base = filepath.Join(home, fallback)
	}
	return filepath.Join(append([]string{base}, elements...)...), nil
}

func (a *app) readCredentials() (credentials, string, error) {
	out := credentials{Servers: map[string]serverCredential{}}
	path, err := a.credentialsPath()
	if err != nil {
		return out, path, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, path, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return out, path, fmt.Errorf("the credentials in %s cannot be read: %w. Delete the file and use gantry login", path, err)
	}
	if out.Servers == nil {
		out.Servers = map[string]serverCredential{}
	}
	return out, path, nil
}

// remember stores the credential of a server and makes that the default one. It returns the file.
func (a *app) remember(address string, c serverCredential) (string, error) {
	all, path, err := a.readCredentials()
	if err != nil {
		return path, err
	}
	all.Current, all.Servers[address] = address, c
	return path, writeSecret(path, all)
}

// forget removes the credential of a server and reports whether there was one.
func (a *app) forget(address string) (bool, error) {
	all, path, err := a.readCredentials()
	if _, known := all.Servers[address]; err != nil || !known {
		return false, err
	}
	delete(all.Servers, address)
	if all.Current == address {
		all.Current = ""
	}
	return true, writeSecret(path, all)
}

// writeSecret replaces a JSON file that only its owner may read.
func writeSecret(path string, v any) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".credentials-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// terraformHost is the name under which Terraform looks for the token of the server, or empty: it talks HTTPS only.
func terraformHost(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		return ""
	}
	return strings.TrimSuffix(strings.ToLower(u.Host), ":443")
}

func (a *app) terraformCredentialsPath() (string, error) {
	if runtime.GOOS == "windows" {
		return a.configPath("APPDATA", "", "terraform.d", "credentials.tfrc.json")
	}
	return a.configPath("", "", ".terraform.d", "credentials.tfrc.json")
}

// setTerraformToken stores the token of a host where Terraform looks for it, and leaves everything else there as it is. An
// empty token removes it. It returns the file, or nothing if there was nothing to remove.
func (a *app) setTerraformToken(host, token string) (string, error) {
	path, err := a.terraformCredentialsPath()
	if err != nil {
		return "", err
	}
	file, hosts := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	text, err := os.ReadFile(path)
	if err == nil {
		if err = json.Unmarshal(text, &file); err == nil && file["credentials"] != nil {
			err = json.Unmarshal(file["credentials"], &hosts)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("terraform's credentials in %s cannot be read: %w. Correct the file, then use gantry login again", path, err)
	}
	if _, known := hosts[host]; token == "" && !known {
		return "", nil
	}
	delete(hosts, host)
	if token != "" {
		if hosts[host], err = json.Marshal(map[string]string{"token": token}); err != nil {
			return "", err
		}
	}
	if file["credentials"], err = json.Marshal(hosts); err != nil {
		return "", err
	}
	return path, writeSecret(path, file)
}
