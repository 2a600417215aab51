package station

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// instanceFile has the instance that worked in a folder last.
const instanceFile = "instance"

// Identify makes up an instance for a worker in the folder, and returns the one before it there: whoever that was is gone, so
// that its name may be used again at once. One worker at a time works in a folder.
func Identify(dir string) (instance, after string, err error) {
	path := filepath.Join(dir, instanceFile)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", "", err
	}
	instance = rand.Text()
	err = errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(path, []byte(instance+"\n"), 0o600))
	return instance, strings.TrimSpace(string(b)), err
}
