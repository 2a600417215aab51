package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gantry.example/test/bench/figures"
)

// cloud measures `terraform plan` of the stock CLI with the server as its cloud against the same plan in a folder.
func (b *bench) cloud(ctx context.Context, s *server) error {
	for _, size := range b.clouds {
		b.say("terraform plan through the cloud block, %d × terraform_data, %d times", size.resources, size.times)
		measured, err := b.compareCloud(ctx, s, size)
		if err != nil {
			return err
		}
		b.report.Cloud = append(b.report.Cloud, measured)
	}
	return nil
}

func (b *bench) compareCloud(ctx context.Context, s *server, size size) (figures.CloudPlan, error) {
	out := figures.CloudPlan{Resources: size.resources}
	_, port, err := net.SplitHostPort(s.https)
	if err != nil {
		return out, err
	}
	host := "localhost:" + port
	bare, err := b.newFolder(resources(size.resources))
	if err != nil {
		return out, err
	}
	theirs, err := b.newFolder(cloudBlock(host, fmt.Sprint("cloud-", size.resources)) + resources(size.resources))
	if err != nil {
		return out, err
	}
	env, err := b.cloudEnv(s, host, theirs)
	if err != nil {
		return out, err
	}
	sides := []struct {
		dir  string
		env  []string
		into *figures.Sample
	}{{bare, b.bareEnv(), &out.Bare}, {theirs, env, &out.Gantry}}
	for _, side := range sides {
		if err := b.command(ctx, side.dir, side.env, []string{"init", "-input=false", "-no-color"}); err != nil {
			return out, err
		}
	}
	for range size.times {
		for _, side := range sides {
			if err := rest(ctx, pause); err != nil {
				return out, err
			}
			began := time.Now()
			if err := b.command(ctx, side.dir, side.env, []string{"plan", "-input=false", "-no-color"}); err != nil {
				return out, err
			}
			*side.into = append(*side.into, time.Since(began).Seconds())
		}
	}
	return out, nil
}

func cloudBlock(host, workspace string) string {
	return fmt.Sprintf("terraform {\n  cloud {\n    hostname     = %q\n    organization = \"default\"\n    workspaces { name = %q }\n  }\n}\n", host, workspace)
}

// cloudEnv is the bare CLI's environment with the server's token and certificate authority.
func (b *bench) cloudEnv(s *server, host, dir string) ([]string, error) {
	token, err := os.ReadFile(filepath.Join(s.data, "admin-token"))
	if err != nil {
		return nil, err
	}
	rc := filepath.Join(dir, "cli.rc")
	text := fmt.Sprintf("disable_checkpoint = true\ncredentials %q {\n  token = %q\n}\n", host, strings.TrimSpace(string(token)))
	if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return append(b.bareEnv(), "TF_CLI_CONFIG_FILE="+rc, "SSL_CERT_FILE="+filepath.Join(s.data, "ca.pem")), nil
}
