// Judges alerting rules as Prometheus does: its own parsers of rules and of metrics pages, its own storage and query engine. Standard input is JSON
// (type input), standard output too (type output). A rule `holds` where its expression has a result; how long it has to (`for`) is not waited for.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

type input struct {
	// A file of rules: YAML with `groups`.
	Rules string `json:"rules"`
	// In order of time.
	Scrapes []scrape `json:"scrapes"`
	// When the expressions are evaluated.
	AtSeconds int64 `json:"atSeconds"`
}

type scrape struct {
	AtSeconds int64             `json:"atSeconds"`
	Labels    map[string]string `json:"labels"`
	// What the target answered; missing where it did not.
	Page *string `json:"page"`
}

type output struct {
	Errors []string `json:"errors"`
	Alerts []alert  `json:"alerts"`
}

type alert struct {
	Alert string `json:"alert"`
	// Every metric that the expression names.
	Metrics []string `json:"metrics"`
	Holds   bool     `json:"holds"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var given input
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		return err
	}
	answer := output{Errors: []string{}, Alerts: []alert{}}
	language := parser.NewParser(parser.Options{})
	groups, errs := rulefmt.Parse([]byte(given.Rules), false, model.UTF8Validation, language, promslog.NewNopLogger())
	for _, err := range errs {
		answer.Errors = append(answer.Errors, err.Error())
	}
	if len(errs) == 0 {
		seen, err := remember(given.Scrapes)
		if err != nil {
			return err
		}
		for _, group := range groups.Groups {
			for _, rule := range group.Rules {
				holds, err := seen.holds(rule.Expr, given.AtSeconds)
				if err != nil {
					return fmt.Errorf("%s: %w", rule.Alert, err)
				}
				metrics, err := metricsOf(language, rule.Expr)
				if err != nil {
					return err
				}
				answer.Alerts = append(answer.Alerts, alert{rule.Alert, metrics, holds})
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}

func metricsOf(language parser.Parser, text string) ([]string, error) {
	expression, err := language.ParseExpr(text)
	if err != nil {
		return nil, err
	}
	names := []string{}
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok && !slices.Contains(names, selector.Name) {
			names = append(names, selector.Name)
		}
		return nil
	})
	return names, nil
}
