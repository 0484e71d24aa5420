package main

import (
	"strings"

	"github.com/google/cel-go/cel"
)

// Members of objects that expressions may name, whether or not an object has them.
var members = []string{"apiVersion", "kind", "metadata", "spec", "status", "data"}

// runCEL evaluates a health check expression of Flux: the members of the object are variables, optional access
// is on. A member that is not there answers nil: Flux waits then.
func runCEL(expression string, object map[string]any) (any, error) {
	options := []cel.EnvOption{cel.OptionalTypes()}
	for _, name := range members {
		options = append(options, cel.Variable(name, cel.DynType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	program, err := env.Program(ast)
	if err != nil {
		return nil, err
	}
	value, _, err := program.Eval(object)
	if err != nil && strings.Contains(err.Error(), "no such attribute") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return value.Value(), nil
}
