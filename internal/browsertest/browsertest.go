// Package browsertest gives tests a real browser: Chromium or Chrome, found or (as root on Debian) installed.
//
//	ctx := browsertest.Chrome(t)
//	err := chromedp.Run(ctx, chromedp.Navigate(server.URL))
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// EnvBrowser names the browser to use instead of one that is found.
const EnvBrowser = "GANTRY_TEST_BROWSER"

const (
	startTimeout = time.Minute
	testTimeout  = 3 * time.Minute
)

// Chrome starts a browser of this test's own, with an empty profile, and returns the context of its first tab for
// chromedp. It ends with the test, or after three minutes. A machine without a browser fails the test: a page that nobody
// looked at is not tested.
func Chrome(t testing.TB) context.Context {
	t.Helper()
	path, err := find()
	if err != nil {
		t.Fatalf("browsertest: %v", err)
	}
	// Servers of tests are on loopback; whatever else a browser does on its own is switched off.
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Headless,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-extensions", true),
		chromedp.Flag("disable-default-apps", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("password-store", "basic"),
	)
	t.Cleanup(stop) // after the browser has closed: it waits for the process
	browser, stop := chromedp.NewContext(allocator, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() {
		if err := chromedp.Cancel(browser); err != nil && !errors.Is(err, context.Canceled) {
			t.Logf("browsertest: close the browser: %v", err)
		}
	})
	// The first action starts the process, which lives as long as the action's context: that can have no deadline itself.
	tooLong := time.AfterFunc(startTimeout, stop)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("browsertest: start %s: %v", path, err)
	}
	tooLong.Stop()
	ctx, cancel := context.WithTimeout(browser, testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// find returns the path of a browser, installing Debian's where that is possible.
func find() (string, error) {
	if path := os.Getenv(EnvBrowser); path != "" {
		return exec.LookPath(path)
	}
	if path := installed(); path != "" {
		return path, nil
	}
	var why error
	if _, err := os.Stat("/etc/debian_version"); err == nil && os.Geteuid() == 0 {
		if why = install(); why == nil {
			if path := installed(); path != "" {
				return path, nil
			}
		}
	}
	return "", errors.Join(fmt.Errorf("there is no Chromium or Chrome on this machine: install one (Debian: apt-get install chromium) or name it in %s",
		EnvBrowser), why)
}

func installed() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	for _, path := range []string{
		"/usr/bin/chromium", "/usr/lib/chromium/chromium", "/opt/google/chrome/chrome", "/snap/bin/chromium",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
	} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}
