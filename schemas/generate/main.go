// Command generate writes the documents of package schemas into the folder schemas, and the page about TFE. Run it at the root of the repository.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"gantry.example/schemas"
)

func main() {
	if err := write("."); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func write(root string) error {
	files, err := schemas.Generate(root)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(root, "schemas", name), content, 0o644); err != nil {
			return err
		}
	}
	page, err := schemas.Compatibility(root)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, schemas.CompatibilityPage), page, 0o644)
}
