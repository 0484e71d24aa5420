// Judges objects as GitOps tools do, with the interpreters that they use: `lua SCRIPT` is a health check of Argo CD, `cel EXPRESSION` one of
// Flux. The object comes as JSON from standard input, the answer goes as JSON to standard output.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 3 {
		return fmt.Errorf("usage: gitops lua|cel TEXT < OBJECT")
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		return err
	}
	var answer any
	switch os.Args[1] {
	case "lua":
		answer, err = runLua(os.Args[2], object)
	case "cel":
		answer, err = runCEL(os.Args[2], object)
	default:
		err = fmt.Errorf("no interpreter %s", os.Args[1])
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}
